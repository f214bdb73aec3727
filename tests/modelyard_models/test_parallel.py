"""How layers and devices are divided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.parameters import BadParameters
from modelyard_models.flags import Flags
from modelyard_models.layout import Device, Layout, WorkerLayout
from modelyard_models.parallel import FlagNames, Parallel, parallel_of, splits_blocks, stages
from modelyard_models.quantization import quantization_of
from modelyard_models.shape.read import shape_of
from real_models import models

NAMES = FlagNames(("--tp",), ("--pp",), ("--dp",))
DEVICE = Device("cuda", 1 << 36)


def layout(*devices: int) -> Layout:
    return Layout(tuple(WorkerLayout((DEVICE,) * count) for count in devices))


@given(st.integers(1, 200), st.integers(1, 16))
def test_every_layer_is_in_one_stage(layers: int, count: int) -> None:
    found = stages(layers, count)
    assert len(found) == count
    assert [at for stage in found for at in stage] == list(range(layers))
    assert max(len(stage) for stage in found) - min(len(stage) for stage in found) <= 1


def test_devices_of_one_worker_share_every_layer() -> None:
    assert parallel_of(Flags([]), NAMES, layout(4), None).tensor == 4


def test_workers_are_stages() -> None:
    found = parallel_of(Flags([]), NAMES, layout(4, 4), None)
    assert (found.tensor, found.pipeline) == (4, 2)
    assert [found.stage(rank) for rank in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_flags_decide() -> None:
    found = parallel_of(Flags(["--tp=2", "--dp=2"]), NAMES, layout(4), None)
    assert (found.tensor, found.pipeline, found.data, found.world) == (2, 1, 2, 4)
    assert Parallel(1, 4).stage(3) == 3


def test_blocks_that_are_quantised_together_are_not_divided() -> None:
    config = models()["Qwen/Qwen3-235B-A22B-FP8"]["config"]
    shape, stored = shape_of(config), quantization_of(config)
    assert shape is not None
    assert splits_blocks(shape, stored, Parallel(4, expert=4)) is None
    said = splits_blocks(shape, stored, Parallel(8, expert=8))
    assert said is not None
    assert "1536 / 8 of a feed-forward is no multiple of the 128" in said
    assert splits_blocks(shape, stored, Parallel(8, expert=8, has_whole_experts=True)) is None
    assert splits_blocks(shape, None, Parallel(8, expert=8)) is None


def test_a_flag_that_is_no_number_is_named() -> None:
    with pytest.raises(BadParameters, match="--tp: 'two' is no whole number"):
        parallel_of(Flags(["--tp=two"]), NAMES, layout(2), None)
    with pytest.raises(BadParameters, match="--tp: 0 must be at least 1"):
        parallel_of(Flags(["--tp=0"]), NAMES, layout(2), None)
