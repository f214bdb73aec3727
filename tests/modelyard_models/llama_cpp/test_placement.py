"""Weights and cache by device, against what llama.cpp's own planner said: equal to the byte."""

import pytest
from llama_cpp_rows import Breakdown, breakdowns
from modelyard_contracts.parameters import BadParameters
from modelyard_models.layout import Device
from modelyard_models.llama_cpp.flags import flags_of
from modelyard_models.llama_cpp.kv_cache import layer_bytes
from modelyard_models.llama_cpp.placement import HOST, place, weights
from modelyard_models.llama_cpp.shape import shape_of

REPACKABLE = ("Q4_0", "Q4_K", "IQ4_NL", "MXFP4")
ROWS = breakdowns()


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_weights_and_cache_are_what_llama_cpp_says(row: Breakdown) -> None:
    shape = shape_of(row.facts)
    flags = flags_of(row.arguments, shape.context_length)
    placement = place(shape, flags, row.layout.devices(), None)
    found = weights(row.facts, shape, placement, flags, REPACKABLE)
    kept = dict.fromkeys([HOST, *range(len(row.devices))], 0)
    for layer, where in zip(shape.layers, placement.layers, strict=False):
        kept[where if flags.kv_offload else HOST] += layer_bytes(shape, flags, layer)
    assert row.facts.parameters == row.parameters
    assert [found.devices.get(rank, 0) for rank in range(len(row.devices))] == [
        d.weights for d in row.devices
    ]
    assert (found.host, kept.pop(HOST)) == (row.host.weights, row.host.context)
    assert list(kept.values()) == [device.context for device in row.devices]
    if not row.devices:
        assert found.repacked == row.repacked


def test_layers_follow_free_memory_and_the_output_lies_on_the_last_device() -> None:
    shape = shape_of(ROWS[2].facts)
    devices = [Device("cuda", 48 << 30, free_bytes=30 << 30), Device("cuda", 48 << 30, free_bytes=10 << 30)]
    placement = place(shape, flags_of([], 0), devices, None)
    assert placement.layers.count(0) == 25
    assert placement.output == 1
    assert placement.is_whole


def test_a_share_for_a_device_that_is_not_there_is_refused() -> None:
    shape = shape_of(ROWS[2].facts)
    with pytest.raises(BadParameters, match="3 shares for 2 devices"):
        place(shape, flags_of(["-ts", "1,1,1"], 0), [Device("cuda", 1 << 30)] * 2, None)
    with pytest.raises(BadParameters, match="--main-gpu 2: there are 2 devices"):
        place(shape, flags_of(["-sm", "none", "-mg", "2"], 0), [Device("cuda", 1 << 30)] * 2, None)
