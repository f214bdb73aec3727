"""What llama.cpp needs, part by part: for every kind of model, on every kind of layout."""

from dataclasses import replace
from typing import Any

import pytest
from bench_estimate.llama_cpp import compare
from gguf_shapes import header, model_sizes
from llama_cpp_rows import facts_of, layout_of, model_of
from modelyard_contracts.models import GgufFacts, ModelFacts, ModelFormat, TensorGroup
from modelyard_contracts.parameters import BadParameters
from modelyard_models.estimate import Beside, UnknownBackend, estimate
from modelyard_models.gguf_header import header_of
from modelyard_models.layout import CPU_ONLY, Device, Layout, WorkerLayout
from modelyard_models.llama_cpp.case import case_of
from modelyard_models.llama_cpp.fitting import best_offload
from modelyard_models.need import Confidence, DeviceNeed, HostNeed, MemoryNeed

GIB = 1 << 30
LLAMA_8B = model_of(facts_of("llama-3.1-8b", "Q4_K_M"))
QWEN_MOE = model_of(facts_of("qwen3-30b-a3b", "Q4_K_M"))


def need_of(
    model: ModelFacts, *arguments: str, layout: Layout | None = None, beside: Beside | None = None
) -> MemoryNeed:
    return estimate(model, "llama.cpp", None, arguments, layout or layout_of(1), beside or Beside())


def parts(need: DeviceNeed | HostNeed) -> dict[str, int]:
    return {part.name: part.bytes for part in need.parts}


def one_device(gibibytes: float) -> Layout:
    return Layout((WorkerLayout((Device("cuda", int(gibibytes * GIB)),)),))


def test_every_target_is_met() -> None:
    assert {found.quantity: found.misses() for found in compare() if found.misses()} == {}


def test_every_part_has_its_name_and_the_sum_its_margin() -> None:
    need = need_of(LLAMA_8B, "-c", "32768")
    device = need.devices[0]
    assert parts(device) == {
        "weights": 4_617_396_480,
        "kv_cache": 4 * GIB,
        "compute": pytest.approx(155_203_712, rel=1e-3),
        "context": GIB // 2,
    }
    planned = sum(parts(device).values()) - GIB // 2
    assert device.margin_bytes == round(planned * 0.02)
    assert device.claim_bytes == device.needed_bytes
    assert set(parts(need.hosts[0])) == {"weights", "compute", "output", "process"}
    assert (need.confidence, need.fits, need.offloaded_layers, need.total_layers) == (
        Confidence.HIGH,
        True,
        33,
        33,
    )
    assert (need.context_tokens, need.kv_bytes_per_token) == (32768, 131_072)


def test_a_small_model_has_a_margin_of_16_mebibytes() -> None:
    need = need_of(model_of(facts_of("minilm-l6", "F16")), "--embedding")
    assert need.devices[0].margin_bytes == 16 << 20
    assert "kv_cache" not in parts(need.devices[0])


def test_what_is_not_said_is_as_our_launcher_starts_it() -> None:
    need = need_of(LLAMA_8B)
    assert need.context_tokens == 4096
    assert parts(need.devices[0])["kv_cache"] == 4096 * 131_072


def test_a_context_of_zero_is_the_models_own() -> None:
    assert need_of(LLAMA_8B, "-c", "0").context_tokens == 131_072


def test_slots_share_a_unified_cache_and_divide_any_other() -> None:
    assert need_of(LLAMA_8B, "-c", "8192", "-np", "4").context_tokens == 2048
    assert need_of(LLAMA_8B, "-c", "8192", "-np", "4", "--kv-unified").context_tokens == 8192


def test_recurrent_states_grow_with_slots_and_not_with_the_context() -> None:
    mamba = model_of(facts_of("mamba2-2.7b", "F16"))
    one, more, longer = (
        need_of(mamba, "-np", n, "-c", c) for n, c in (("1", "4096"), ("8", "4096"), ("1", "65536"))
    )
    cache = [parts(need.devices[0])["kv_cache"] for need in (one, more, longer)]
    assert cache == [cache[0], 8 * cache[0], cache[0]]
    assert one.kv_bytes_per_token == 0


def test_without_devices_matrices_are_repacked_unless_denied() -> None:
    repacked = parts(need_of(LLAMA_8B, layout=CPU_ONLY).hosts[0])
    plain = parts(need_of(LLAMA_8B, "--no-repack", layout=CPU_ONLY).hosts[0])
    assert repacked["repacked_weights"] == 3204 << 20
    assert repacked["weights"] + repacked["repacked_weights"] == plain["weights"]
    assert "repacked_weights" not in plain


def test_experts_on_the_host_leave_the_device() -> None:
    whole, some, none = (need_of(QWEN_MOE, *flags) for flags in ((), ("-ncmoe", "24"), ("--cpu-moe",)))
    sizes = [parts(need.devices[0])["weights"] for need in (whole, some, none)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < 1 << 30


def test_the_most_layers_that_fit_are_found() -> None:
    layout = one_device(4)
    layers = best_offload(case_of(LLAMA_8B, None, ["-c", "8192"], layout))
    assert 0 < layers < 33
    assert need_of(LLAMA_8B, "-c", "8192", layout=replace(layout, offload_layers=layers)).fits
    assert not need_of(LLAMA_8B, "-c", "8192", layout=replace(layout, offload_layers=layers + 1)).fits
    assert best_offload(case_of(LLAMA_8B, None, [], one_device(80))) == 33
    assert best_offload(case_of(LLAMA_8B, None, [], one_device(0.1))) == 0
    assert best_offload(case_of(LLAMA_8B, None, [], CPU_ONLY)) == 0


@pytest.mark.parametrize("flags", [(), ("-np", "4"), ("-ctk", "q8_0", "-ctv", "q8_0"), ("-np", "4", "-kvu")])
def test_the_largest_context_fits_and_no_larger_one(flags: tuple[str, ...]) -> None:
    layout = one_device(12)
    longest = need_of(LLAMA_8B, *flags, layout=layout).largest_context
    assert longest is not None
    assert 4096 < longest <= 131_072
    slots = 4 if flags == ("-np", "4") else 1
    assert need_of(LLAMA_8B, *flags, "-c", str(longest * slots), layout=layout).fits
    if longest < 131_072:
        assert not need_of(LLAMA_8B, *flags, "-c", str((longest + 256) * slots), layout=layout).fits


def test_a_model_too_large_has_no_context_that_fits() -> None:
    need = need_of(LLAMA_8B, layout=one_device(2))
    assert (need.fits, need.largest_context) == (False, 0)


def test_free_memory_decides_and_not_the_size_of_the_card() -> None:
    busy = Layout((WorkerLayout((Device("cuda", 80 * GIB, free_bytes=4 * GIB),)),))
    assert not need_of(LLAMA_8B, layout=busy).fits


def test_an_unknown_architecture_gets_a_safe_answer_marked_so() -> None:
    sizes = model_sizes()["gemma-3-27b"]
    known = header_of(header(sizes, "Q4_K_M"))
    metadata = {
        key.replace("gemma3.", "gemma9."): "gemma9" if value == "gemma3" else value
        for key, value in known.metadata.items()
    }
    unknown = need_of(model_of(known.model_copy(update={"metadata": metadata})), "-c", "32768")
    plain = need_of(model_of(known), "-c", "32768")
    assert unknown.confidence is Confidence.LOW
    assert "gemma9" in unknown.notes[0]
    assert unknown.devices[0].needed_bytes > plain.devices[0].needed_bytes


def test_another_build_is_marked_less_certain() -> None:
    need = estimate(LLAMA_8B, "llama.cpp", "2026.10.11549", [], layout_of(1))
    assert need.backend_version == "2026.10.11549"
    assert "nearest build" in need.notes[0]


def test_a_draft_model_has_a_cache_of_its_own() -> None:
    draft = model_of(facts_of("llama-3.2-1b", "Q4_K_M"))
    need = need_of(LLAMA_8B, "-c", "8192", beside=Beside(draft=draft))
    found = parts(need.devices[0])
    assert found["draft_weights"] == 799_862_912
    assert found["draft_kv_cache"] == 8192 * 32_768
    shorter = need_of(LLAMA_8B, "-c", "8192", "--ctx-size-draft", "4096", beside=Beside(draft=draft))
    assert parts(shorter.devices[0])["draft_kv_cache"] == 4096 * 32_768


def test_a_projector_lies_on_the_main_device_or_the_host() -> None:
    projector = GgufFacts(
        metadata={
            "general.architecture": "clip",
            "clip.vision.image_size": 336,
            "clip.vision.patch_size": 14,
            "clip.vision.embedding_length": 1024,
            "clip.vision.feed_forward_length": 4096,
        },
        vocabulary_size=0,
        parameters=300_000_000,
        groups=(
            TensorGroup(layer=0, role="dense", weight_bytes=600, padded_bytes=640, largest_tensor_bytes=600),
        ),
    )
    model = LLAMA_8B.model_copy(update={"projector": projector})
    need = need_of(model, layout=layout_of(2))
    assert parts(need.devices[0])["projector"] == 640
    assert parts(need.devices[0])["projector_compute"] == 576 * (3 * 4096 + 4 * 1024) * 4
    assert "projector" not in parts(need.devices[1])
    assert parts(need_of(model, "--no-mmproj-offload").hosts[0])["projector"] == 640


def test_adapters_lie_with_the_layers_they_change() -> None:
    groups = tuple(
        TensorGroup(layer=layer, role="dense", weight_bytes=100, padded_bytes=128, largest_tensor_bytes=100)
        for layer in range(32)
    )
    facts = GgufFacts(metadata={}, vocabulary_size=0, parameters=1, groups=groups)
    adapter = ModelFacts(location="lora.gguf", format=ModelFormat.GGUF, weight_bytes=3200, gguf=facts)
    need = need_of(LLAMA_8B, "-ngl", "11", beside=Beside(adapters=(adapter,)))
    assert parts(need.devices[0])["adapters"] == 10 * 128
    assert parts(need.hosts[0])["adapters"] == 22 * 128


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-c", "many"], "--ctx-size 'many'"),
        (["-c", "-5"], "--ctx-size '-5'"),
        (["--n-gpu-layers", "1e3"], "--n-gpu-layers '1e3'"),
        (["-ctk", "q3_k"], "--cache-type-k 'q3_k': is none of"),
        (["-ts", "1,x"], "--tensor-split"),
        (["-fa", "off", "-ctv", "q8_0"], "needs flash attention"),
        (["-np", "99999999999"], "--parallel"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_by_name(arguments: list[str], says: str) -> None:
    with pytest.raises(BadParameters, match=says):
        need_of(LLAMA_8B, *arguments)


def test_only_a_gguf_file_with_a_shape_can_be_estimated() -> None:
    with pytest.raises(BadParameters, match="needs a GGUF file"):
        need_of(ModelFacts(location="org/repo", format=ModelFormat.SAFETENSORS, weight_bytes=1))
    empty = GgufFacts(metadata={"general.architecture": "llama"}, vocabulary_size=0, parameters=0, groups=())
    with pytest.raises(BadParameters, match=r"lacks llama\.block_count"):
        need_of(model_of(empty))
    with pytest.raises(UnknownBackend, match=r"known are .*llama\.cpp"):
        estimate(LLAMA_8B, "abacus", None, [], layout_of(1))


@pytest.mark.parametrize(
    "hostile",
    [
        {"block_count": 2**40},
        {"block_count": "many"},
        {"embedding_length": 0},
        {"attention.head_count": 0},
        {"attention.head_count": [8] * 3},
        {"attention.head_count_kv": [-1] * 32},
        {"attention.key_length": 2**60},
        {"nextn_predict_layers": 99},
        {"attention.sliding_window_pattern": 0},
        {"context_length": -1},
    ],
)
def test_a_hostile_header_is_refused_or_estimated(hostile: dict[str, Any]) -> None:
    facts = LLAMA_8B.gguf
    assert facts is not None
    for family in ("llama", "gemma3", "jamba", "deepseek2"):
        renamed = {key.replace("llama.", f"{family}."): value for key, value in facts.metadata.items()}
        changed = {f"{family}.{key}": value for key, value in hostile.items()}
        metadata = {**renamed, **changed, "general.architecture": family}
        try:
            need = need_of(model_of(facts.model_copy(update={"metadata": metadata})))
        except BadParameters:
            continue
        assert need.devices[0].needed_bytes > 0
