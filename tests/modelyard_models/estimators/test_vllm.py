"""vLLM's estimate against real starts, and how it answers to flags."""

import pytest
from modelyard_contracts.parameters import BadParameters
from modelyard_models.estimate import UnknownBackend, estimate
from modelyard_models.layout import CPU_ONLY, Device, Layout, WorkerLayout
from modelyard_models.need import Confidence, DeviceNeed, MemoryNeed
from real_models import GIB, Json, Start, config_of, facts_of, models, starts

H100 = Device("cuda", int(79.19 * GIB), name="H100")
MEASURED = [start for start in starts() if start.version == "0.19.0" and start.get("true_min_per_gpu_gib")]


def need_of(model: str, *parameters: str, gpus: int = 1, version: str = "0.19.0") -> MemoryNeed:
    config = config_of(model)
    assert config is not None
    layout = Layout((WorkerLayout((H100,) * gpus),))
    return estimate(facts_of(model, config), "vLLM", version, parameters, layout)


def size_of(need: DeviceNeed, name: str) -> float:
    return sum(part.bytes for part in need.parts if part.name == name) / GIB


@pytest.mark.parametrize("start", MEASURED, ids=lambda start: start.name)
def test_need_is_near_what_was_measured_and_never_below_it_with_the_margin(start: Start) -> None:
    device = start.device()
    truth = start.get("true_min_per_gpu_gib")
    assert device is not None
    assert truth is not None
    assert sum(part.bytes for part in device.parts) / GIB == pytest.approx(truth, rel=0.035)
    assert device.needed_bytes / GIB >= truth * 0.98


def test_stages_hold_embeddings_at_their_ends() -> None:
    need = need_of("meta-llama/Llama-3.1-8B-Instruct", "-tp=1", "-pp=4", gpus=4)
    each = [size_of(device, "weights") for device in need.devices]
    assert each[0] == pytest.approx(4.26, abs=0.02)
    assert each[1] < each[0]
    assert sum(each) == pytest.approx(14.96 + 4 * 0.03, abs=0.05)


def test_the_first_stage_warms_up_no_sampler() -> None:
    need = need_of("meta-llama/Llama-3.1-8B-Instruct", "-tp=1", "-pp=4", gpus=4)
    assert size_of(need.devices[0], "activation") == pytest.approx(1.05, rel=0.05)
    assert size_of(need.devices[3], "activation") == pytest.approx(1.89, rel=0.05)


def test_latent_cache_is_copied_to_every_rank_and_heads_are_divided() -> None:
    latent = need_of("DeepSeek-V2-Lite", "-tp=2", gpus=2)
    assert latent.devices[0].kv_bytes_per_token == latent.kv_bytes_per_token == 31104
    grouped = need_of("Qwen/Qwen3-8B", "-tp=2", gpus=2)
    assert grouped.devices[0].kv_bytes_per_token * 2 == grouped.kv_bytes_per_token == 147456


@pytest.mark.parametrize(
    ("declared", "bytes_of_16_bit"),
    [
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}, 0.5),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "NVFP4"}, 0.28125),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "novel"}, 1),
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}, 0.5),
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": None}, 1),
    ],
)
def test_the_cache_has_the_bits_that_the_checkpoint_asks_for(declared: Json, bytes_of_16_bit: float) -> None:
    config = {**(config_of("Qwen/Qwen3-8B") or {}), "quantization_config": declared}
    facts = facts_of("Qwen/Qwen3-8B", config)
    layout = Layout((WorkerLayout((H100,)),))

    def cached(version: str, *parameters: str) -> float:
        return estimate(facts, "vLLM", version, parameters, layout).kv_bytes_per_token

    assert cached("0.32.0") == 147456 * bytes_of_16_bit
    assert cached("0.32.0", "--kv-cache-dtype=bfloat16") == 147456
    assert cached("0.19.0") == 147456


def test_a_hybrid_of_which_no_size_is_known_is_a_guess() -> None:
    name = "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-NVFP4"
    config = models()[name]["config"]
    facts = facts_of(name, config).model_copy(update={"weight_bytes": 0})
    need = estimate(facts, "vLLM", None, [], Layout((WorkerLayout((H100,) * 8),)))
    assert need.confidence is Confidence.LOW


def test_more_ranks_than_kv_heads_keep_copies_of_them() -> None:
    need = need_of("Qwen/Qwen2.5-0.5B-Instruct", "-tp=2", gpus=2)
    assert need.devices[0].kv_bytes_per_token == 6144
    with pytest.raises(BadParameters, match="14 attention heads cannot be divided by 4"):
        need_of("Qwen/Qwen2.5-0.5B-Instruct", "-tp=4", gpus=4)


def test_a_cache_of_eight_bits_is_half_as_large() -> None:
    plain = need_of("Qwen/Qwen3-8B", "--max-model-len=8192")
    small = need_of("Qwen/Qwen3-8B", "--max-model-len=8192", "--kv-cache-dtype=fp8")
    assert small.kv_bytes_per_token * 2 == plain.kv_bytes_per_token
    with pytest.raises(BadParameters, match="--kv-cache-dtype: 'int3'"):
        need_of("Qwen/Qwen3-8B", "--kv-cache-dtype=int3")


def test_windows_cost_no_more_than_they_keep() -> None:
    short = need_of("openai/gpt-oss-20b", "--max-model-len=32768")
    long = need_of("openai/gpt-oss-20b", "--max-model-len=131072")
    growth = (size_of(long.devices[0], "kv_cache") - size_of(short.devices[0], "kv_cache")) * GIB
    assert growth == pytest.approx((131072 - 32768) * 24576, rel=0.001)


def test_the_largest_context_fits_and_one_block_more_does_not() -> None:
    parameters = ("-tp=2", "--gpu-memory-utilization=0.95")
    need = need_of("Qwen/Qwen2.5-72B-Instruct", *parameters, gpus=2, version="0.32")
    assert not need.fits
    need = need_of("Qwen/Qwen3-32B", "--gpu-memory-utilization=0.92", version="0.32")
    longest = need.largest_context
    assert longest
    assert need_of("Qwen/Qwen3-32B", f"--max-model-len={longest}", version="0.32").fits
    assert not need_of("Qwen/Qwen3-32B", f"--max-model-len={longest + 16}", version="0.32").fits


def test_without_a_wanted_length_as_much_as_fits_is_provided_for() -> None:
    small = need_of("Qwen/Qwen3-8B")
    assert small.context_tokens == 40960
    large = need_of("Qwen/Qwen3-32B")
    assert large.fits
    assert large.context_tokens == large.largest_context
    assert 8192 <= large.context_tokens < 40960
    assert not need_of("Qwen/Qwen2.5-72B-Instruct", gpus=1).fits


def test_auto_takes_what_fits_however_little() -> None:
    need = need_of("Qwen/Qwen3-32B", "--max-model-len=auto", "--gpu-memory-utilization=0.85")
    assert need.fits
    assert need.context_tokens == need.largest_context
    assert need.context_tokens < 8192


def test_what_only_the_margin_forbids_is_said() -> None:
    need = need_of("meta-llama/Meta-Llama-3.1-70B", "--max-model-len=2048", gpus=2)
    assert not need.fits
    assert any("without the margin it would fit" in note for note in need.notes)


def test_the_share_follows_the_flag_then_the_version() -> None:
    assert need_of("Qwen/Qwen3-8B").fraction == 0.9
    assert need_of("Qwen/Qwen3-8B", version="0.32").fraction == 0.92
    need = need_of("Qwen/Qwen3-8B", "--gpu-memory-utilization", "0.5")
    assert need.devices[0].claim_bytes == H100.memory_bytes // 2
    with pytest.raises(BadParameters, match="above 0 and at most 1"):
        need_of("Qwen/Qwen3-8B", "--gpu-memory-utilization=1.5")


def test_experts_are_divided_over_copies_too() -> None:
    """By vLLM's page on data parallel deployment, whole or cut."""
    copies = need_of("Qwen/Qwen3-30B-A3B", "-tp=1", "-dp=2", gpus=2)
    divided = need_of("Qwen/Qwen3-30B-A3B", "-tp=1", "-dp=2", "--enable-expert-parallel", gpus=2)
    assert size_of(copies.devices[0], "weights") == pytest.approx(30.3, rel=0.02)
    assert size_of(divided.devices[0], "weights") == pytest.approx(30.3, rel=0.02)


def test_a_server_of_some_copies_has_the_devices_of_those() -> None:
    for flags in (["-dp=4", "-dpl=2", "--data-parallel-hybrid-lb"], ["-dp=4", "-dpn=1"]):
        need = need_of("Qwen/Qwen3-30B-A3B", *flags, gpus=2 if "-dpl=2" in flags else 1)
        assert size_of(need.devices[0], "weights") == pytest.approx(16.4, rel=0.05)


def test_workers_with_unequally_many_devices_make_a_stage_of_each() -> None:
    layout = Layout((WorkerLayout((H100,) * 3), WorkerLayout((H100,))))
    uneven = estimate(
        facts_of("Qwen/Qwen3-32B", config_of("Qwen/Qwen3-32B") or {}), "vLLM", "0.19.0", [], layout
    )
    stages = need_of("Qwen/Qwen3-32B", "-tp=1", "-pp=4", gpus=4)
    assert [device.needed_bytes for device in uneven.devices] == [d.needed_bytes for d in stages.devices]


def test_eager_servers_capture_no_graphs() -> None:
    assert size_of(need_of("Qwen/Qwen3-8B", "--enforce-eager").devices[0], "graphs") == 0


def test_more_devices_than_there_are_are_refused() -> None:
    with pytest.raises(BadParameters, match="4 x 1 x 1 devices are wanted, and there are 2"):
        need_of("Qwen/Qwen3-8B", "-tp=4", gpus=2)


def test_weights_are_as_large_as_their_files_where_those_are_known() -> None:
    config = config_of("Qwen/Qwen3-8B")
    assert config is not None
    facts = facts_of("tuned", config, 16_500_000_000)
    need = estimate(facts, "vLLM", None, [], Layout((WorkerLayout((H100,)),)))
    assert size_of(need.devices[0], "weights") * GIB == pytest.approx(16_500_000_000 + 40960 * 256, rel=1e-6)


def test_files_in_32_bit_are_loaded_in_16() -> None:
    config = config_of("bge-m3")
    assert config is not None
    need = estimate(
        facts_of("bge-m3", config, 2_271_145_830), "vLLM", None, [], Layout((WorkerLayout((H100,)),))
    )
    assert size_of(need.devices[0], "weights") * GIB == pytest.approx(2_271_145_830 / 2, rel=1e-6)
    assert need.kv_bytes_per_token == 0
    assert size_of(need.devices[0], "kv_cache") == 0
    assert need.fraction is None
    assert need.devices[0].claim_bytes == need.devices[0].needed_bytes


def test_an_unknown_architecture_gets_a_safe_answer_of_low_confidence() -> None:
    need = estimate(facts_of("novel", {}, 10 * GIB), "vLLM", None, [], Layout((WorkerLayout((H100,)),)))
    assert need.confidence is Confidence.LOW
    assert need.devices[0].needed_bytes > 14 * GIB


def test_nothing_known_is_no_fit() -> None:
    need = estimate(facts_of("novel", {}, 0), "vLLM", None, [], Layout((WorkerLayout((H100,)),)))
    assert not need.fits
    assert any("neither the layers nor the size" in note for note in need.notes)


def test_files_much_larger_than_the_layers_lower_the_confidence() -> None:
    config = config_of("Qwen/Qwen3-8B")
    assert config is not None
    need = estimate(facts_of("other", config, 40 * GIB), "vLLM", None, [], Layout((WorkerLayout((H100,)),)))
    assert need.confidence is Confidence.LOW
    assert any("times as large" in note for note in need.notes)


def test_without_devices_everything_is_in_main_memory() -> None:
    config = config_of("Qwen/Qwen3-8B")
    assert config is not None
    need = estimate(facts_of("model", config), "vLLM", None, ["--max-model-len=4096"], CPU_ONLY)
    assert need.devices == ()
    assert {part.name for part in need.hosts[0].parts} >= {"weights", "activation", "kv_cache", "processes"}
    assert need.hosts[0].needed_bytes > 17 * GIB


def test_a_backend_without_an_estimator_is_named() -> None:
    with pytest.raises(UnknownBackend, match="'mine-custom'"):
        estimate(facts_of("model", {}), "mine-custom", None, [], CPU_ONLY)
