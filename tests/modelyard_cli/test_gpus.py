"""Devices as a person writes them."""

import pytest
from modelyard_cli.errors import UsageError
from modelyard_cli.gpus import GIB, layout_of
from modelyard_models.cards import is_linked
from modelyard_models.layout import Device


@pytest.mark.parametrize(
    ("text", "count", "kind", "gib"),
    [
        ("H100", 1, "cuda", 79.19),
        ("2xH100", 2, "cuda", 79.19),
        ("H100-80G", 1, "cuda", 79.19),
        ("4*rtx 4090", 4, "cuda", 23.5),
        ("A100-40G", 1, "cuda", 39.49),
        ("8xMI300X", 8, "rocm", 191.5),
        ("2x80GiB", 2, "cuda", 80),
        ("4xcuda:24GiB", 4, "cuda", 24),
        ("cann:64gb", 1, "cann", 64),
        ("cpu", 0, "", 0),
    ],
)
def test_names_and_sizes_are_understood(text: str, count: int, kind: str, gib: float) -> None:
    devices = layout_of([text]).devices()
    assert len(devices) == count
    assert all((one.type, one.memory_bytes) == (kind, int(gib * GIB)) for one in devices)


@pytest.mark.parametrize("text", ["", "2x", "H100-40G", "2000x24GiB", "0xH100", "24", "x24GiB"])
def test_what_is_no_device_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--gpus"):
        layout_of([text])


def test_links_follow_the_name_and_else_the_size() -> None:
    assert is_linked(Device("cuda", 80 * GIB, name="NVIDIA H100 80GB HBM3"))
    assert not is_linked(Device("cuda", 80 * GIB, name="NVIDIA H100 PCIe"))
    assert not is_linked(Device("cuda", 24 * GIB, name="NVIDIA GeForce RTX 4090"))
    assert is_linked(Device("cuda", 80 * GIB))
    assert not is_linked(Device("cuda", 24 * GIB))
