"""What runs along with a model, and what flags change of it."""

import json

import pytest
from modelyard_contracts.deployments import ExtendedKVCache
from modelyard_models.estimate import Beside, estimate
from modelyard_models.layout import Device, Layout, WorkerLayout
from modelyard_models.need import DeviceNeed, HostNeed, MemoryNeed
from real_models import GIB, Json, config_of, facts_of

H100 = Device("cuda", int(79.19 * GIB), name="H100")
MTP: Json = {"method": "mtp", "num_speculative_tokens": 1}


def need_of(model: str, *parameters: str, beside: Beside | None = None, gpus: int = 1) -> MemoryNeed:
    config = config_of(model)
    assert config is not None
    layout = Layout((WorkerLayout((H100,) * gpus),))
    return estimate(facts_of(model, config), "vLLM", "0.19.0", parameters, layout, beside or Beside())


def size_of(need: DeviceNeed | HostNeed, name: str) -> int:
    return sum(part.bytes for part in need.parts if part.name == name)


def test_adapters_take_two_matrices_beside_every_projection() -> None:
    adapter = facts_of("lora", {"r": 32}, 10**8)
    plain = need_of("Qwen/Qwen3-8B")
    with_one = need_of("Qwen/Qwen3-8B", beside=Beside(adapters=(adapter,)))
    with_two = need_of("Qwen/Qwen3-8B", beside=Beside(adapters=(adapter, adapter)))
    wide = (4096 + 4096) + (4096 + 2048) + (4096 + 4096) + (4096 + 2 * 12288) + (12288 + 4096)
    assert size_of(plain.devices[0], "adapters") == 0
    assert size_of(with_one.devices[0], "adapters") == 36 * wide * 32 * 2
    assert size_of(with_two.devices[0], "adapters") == 2 * size_of(with_one.devices[0], "adapters")


def test_a_rank_and_slots_that_are_set_count() -> None:
    need = need_of("Qwen/Qwen3-8B", "--enable-lora", "--max-loras=4", "--max-lora-rank=64")
    small = need_of("Qwen/Qwen3-8B", "--enable-lora", "--max-loras=1", "--max-lora-rank=16")
    assert size_of(need.devices[0], "adapters") == 16 * size_of(small.devices[0], "adapters")


def test_a_draft_model_takes_weights_and_cache() -> None:
    config = config_of("Qwen/Qwen3-0.6B")
    assert config is not None
    draft = facts_of("Qwen/Qwen3-0.6B", config)
    plain, drafted = need_of("Qwen/Qwen3-32B"), need_of("Qwen/Qwen3-32B", beside=Beside(draft=draft))
    assert size_of(drafted.devices[0], "draft") == pytest.approx(2 * 596_049_920, rel=0.001)
    assert drafted.devices[0].kv_bytes_per_token == plain.devices[0].kv_bytes_per_token + 114688


def test_a_draft_model_leaves_less_context() -> None:
    config = config_of("Qwen/Qwen3-8B")
    assert config is not None
    drafted = need_of("meta-llama/Meta-Llama-3.1-70B", gpus=4, beside=Beside(draft=facts_of("d", config)))
    plain = need_of("meta-llama/Meta-Llama-3.1-70B", gpus=4)
    assert drafted.fits
    assert drafted.cache_tokens is not None
    assert plain.cache_tokens is not None
    assert drafted.cache_tokens < plain.cache_tokens


def test_layers_for_several_tokens_are_loaded_only_to_speculate() -> None:
    plain = need_of("GLM-4.5-Air", "-tp=4", gpus=4)
    drafted = need_of("GLM-4.5-Air", "-tp=4", f"--speculative-config={json.dumps(MTP)}", gpus=4)
    assert size_of(plain.devices[0], "draft") == 0
    assert size_of(drafted.devices[0], "draft") > GIB // 2
    assert drafted.devices[0].kv_bytes_per_token > plain.devices[0].kv_bytes_per_token


def test_files_with_such_layers_are_not_counted_as_larger_layers() -> None:
    config = config_of("GLM-4.5-Air")
    assert config is not None
    layout = Layout((WorkerLayout((H100,) * 4),))
    files = estimate(facts_of("m", config, 220_850_000_000), "vLLM", None, ["-tp=4"], layout)
    alone = estimate(facts_of("m", config), "vLLM", None, ["-tp=4"], layout)
    assert size_of(files.devices[0], "weights") == pytest.approx(
        size_of(alone.devices[0], "weights"), rel=0.005
    )


def test_cache_that_spills_to_main_memory_is_claimed_there() -> None:
    sized = need_of(
        "Qwen/Qwen3-8B", beside=Beside(extended_kv_cache=ExtendedKVCache(enabled=True, ram_size=40))
    )
    assert size_of(sized.hosts[0], "extended_kv_cache") == 40 * GIB
    ratio = need_of("Qwen/Qwen3-8B", beside=Beside(extended_kv_cache=ExtendedKVCache(enabled=True)))
    assert size_of(ratio.hosts[0], "extended_kv_cache") == pytest.approx(
        1.2 * ratio.devices[0].claim_bytes, rel=1e-6
    )


def test_weights_left_in_main_memory_move_there() -> None:
    plain, moved = need_of("Qwen/Qwen3-8B"), need_of("Qwen/Qwen3-8B", "--cpu-offload-gb=4")
    assert size_of(plain.devices[0], "weights") - size_of(moved.devices[0], "weights") == 4 * GIB
    assert size_of(moved.hosts[0], "offloaded_weights") == 4 * GIB


def test_weights_are_smaller_where_they_are_quantised_while_loading() -> None:
    plain, small = need_of("Qwen/Qwen3-8B"), need_of("Qwen/Qwen3-8B", "--quantization=fp8")
    assert size_of(small.devices[0], "weights") < 0.6 * size_of(plain.devices[0], "weights")


def test_video_is_prepared_for_unless_it_is_forbidden() -> None:
    free = need_of("Qwen/Qwen2.5-VL-3B-Instruct", "--max-model-len=32768")
    images = need_of(
        "Qwen/Qwen2.5-VL-3B-Instruct", "--max-model-len=32768", '--limit-mm-per-prompt={"image":1,"video":0}'
    )
    assert size_of(free.devices[0], "activation") / GIB == pytest.approx(4.06, rel=0.03)
    assert size_of(images.devices[0], "activation") < size_of(free.devices[0], "activation")
