"""SGLang, MindIE, VoxBox and pipelines."""

import pytest
from model_repositories import described
from modelyard_contracts.models import ModelFacts, ModelFormat
from modelyard_contracts.parameters import BadParameters
from modelyard_models.estimate import estimate
from modelyard_models.layout import CPU_ONLY, Device, Layout, WorkerLayout
from modelyard_models.need import Confidence, DeviceNeed, HostNeed, MemoryNeed
from real_models import GIB, config_of, facts_of

H100 = Device("cuda", int(79.19 * GIB), name="H100")
NPU = Device("cann", 61 * GIB, name="Ascend 910B")


def need_of(backend: str, model: str, *parameters: str, card: Device = H100, gpus: int = 1) -> MemoryNeed:
    config = config_of(model)
    assert config is not None
    layout = Layout((WorkerLayout((card,) * gpus),))
    return estimate(facts_of(model, config), backend, None, parameters, layout)


def gib_of(need: DeviceNeed | HostNeed, name: str) -> float:
    return sum(part.bytes for part in need.parts if part.name == name) / GIB


def test_sglang_works_out_its_static_part_from_the_card() -> None:
    need = need_of("SGLang", "Qwen/Qwen3-8B")
    reserve = 512 + 1.5 * 8192 + 2 * 256 + 128
    assert need.fraction == pytest.approx(1 - reserve / (79.19 * 1024), abs=0.001)
    assert need.fits
    assert need_of("SGLang", "Qwen/Qwen3-8B", "--mem-fraction-static=0.7").fraction == 0.7


def test_sglang_fills_its_static_part_with_cache() -> None:
    need = need_of(
        "SGLang", "Qwen/Qwen3-30B-A3B", "--mem-fraction-static=0.911", card=Device("rocm", 288 * GIB)
    )
    assert need.kv_bytes_per_token == 98304
    assert need.cache_tokens == pytest.approx((0.911 * 288 - 56.88) * GIB / 98304, rel=0.001)


def test_attention_of_copies_is_divided_less() -> None:
    tensor = need_of("SGLang", "deepseek-ai/DeepSeek-V3", "--tp=8", gpus=8)
    copies = need_of("SGLang", "deepseek-ai/DeepSeek-V3", "--tp=8", "--dp=8", "--enable-dp-attention", gpus=8)
    assert gib_of(copies.devices[0], "weights") > gib_of(tensor.devices[0], "weights") + 5


def test_weights_that_leave_no_static_part_do_not_fit() -> None:
    need = need_of("SGLang", "Qwen/Qwen2.5-72B-Instruct", "--mem-fraction-static=0.8", gpus=2)
    assert not need.fits
    assert need.largest_context == 0


def test_mindie_counts_the_latent_cache_and_a_footprint() -> None:
    need = need_of("MindIE", "DeepSeek-V2-Lite", "--max-seq-len=32768", card=NPU)
    assert need.devices[0].kv_bytes_per_token == 31104
    assert gib_of(need.devices[0], "context") == 3
    assert need.fraction == 0.8
    assert need.confidence is Confidence.MEDIUM


def test_mindie_on_ascend_holds_what_was_seen_there() -> None:
    need = need_of("MindIE", "Qwen/Qwen3-30B-A3B", "--max-seq-len=2048", card=NPU, gpus=2)
    assert gib_of(need.devices[0], "weights") == pytest.approx(28.4767, rel=0.01)


def test_mindies_swapped_cache_is_in_main_memory() -> None:
    need = need_of("MindIE", "Qwen/Qwen3-8B", "--cpu-mem-size=5", card=NPU)
    assert gib_of(need.hosts[0], "swapped_kv_cache") == 5


@pytest.mark.parametrize("backend", ["SGLang", "MindIE"])
def test_backends_that_need_devices_say_so(backend: str) -> None:
    config = config_of("Qwen/Qwen3-8B")
    assert config is not None
    with pytest.raises(BadParameters, match=f"{backend} needs a GPU"):
        estimate(facts_of("model", config), backend, None, [], CPU_ONLY)


def whisper(size: int = 3_087_284_237) -> ModelFacts:
    return described(
        "Systran/faster-whisper-large-v3", {"config.json": {"suppress_ids": []}}, {"model.bin": size}
    )


def test_voxbox_takes_files_beams_and_a_runtime() -> None:
    need = estimate(whisper(), "VoxBox", None, [], Layout((WorkerLayout((H100,)),)))
    device = need.devices[0]
    assert gib_of(device, "weights") == pytest.approx(3_087_284_237 / GIB)
    assert gib_of(device, "kv_cache") == pytest.approx(5 * 234 / 1024, rel=0.001)
    assert device.claim_bytes == device.needed_bytes
    assert need.confidence is Confidence.MEDIUM


def test_voxbox_needs_more_without_a_gpu() -> None:
    on_gpu = estimate(whisper(), "VoxBox", None, [], Layout((WorkerLayout((H100,)),)))
    on_cpu = estimate(whisper(), "VoxBox", None, [], CPU_ONLY)
    assert on_cpu.devices == ()
    assert on_cpu.hosts[0].needed_bytes > on_gpu.devices[0].needed_bytes


def test_a_pipeline_is_loaded_whole_and_believed_little() -> None:
    facts = ModelFacts(location="org/flux", format=ModelFormat.DIFFUSERS, weight_bytes=34 * 10**9)
    need = estimate(facts, "SGLang", None, [], Layout((WorkerLayout((H100,)),)))
    assert need.confidence is Confidence.LOW
    assert gib_of(need.devices[0], "weights") == pytest.approx(34e9 / GIB)
    assert need.devices[0].needed_bytes > 40 * 10**9
    assert not estimate(facts, "vLLM", None, [], Layout((WorkerLayout((Device("cuda", 24 * GIB),)),))).fits
