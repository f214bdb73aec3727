"""Shapes of real models, from their `config.json` alone."""

import pytest
from modelyard_models.kv_cache import token_bytes_of_model
from modelyard_models.parallel import tensor_sizes
from modelyard_models.shape.count import active_parameters_of, all_groups, parameters_of
from modelyard_models.shape.layers import Attention, LatentAttention, LinearAttention
from modelyard_models.shape.read import shape_of
from modelyard_models.weights import bytes_of, rope_bytes
from real_models import Json, config_of, models

COMPUTED = [name for name, row in models().items() if "params_text_b" in row.get("computed", {})]
BUILT = [name for name, row in models().items() if row.get("vllm_0_32_meta_device")]
SMALL: Json = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 100,
}


@pytest.mark.parametrize("name", COMPUTED)
def test_parameters_of_real_models_are_right(name: str) -> None:
    shape = shape_of(models()[name]["config"])
    computed = models()[name]["computed"]
    total = computed["params_text_b"] + computed["params_vision_b_estimate"]
    assert shape is not None
    assert parameters_of(shape) / 1e9 == pytest.approx(total, rel=0.025)


@pytest.mark.parametrize("name", COMPUTED)
def test_the_cache_of_a_token_and_the_tensor_sizes_are_right(name: str) -> None:
    shape = shape_of(models()[name]["config"])
    computed = models()[name]["computed"]
    assert shape is not None
    assert token_bytes_of_model(shape, 2) == computed["kv_bytes_per_token_16bit"]
    assert token_bytes_of_model(shape, 1) == computed["kv_bytes_per_token_fp8"]
    largest = max(computed["valid_tp"])
    assert list(tensor_sizes(shape, largest)) == computed["valid_tp"]


@pytest.mark.parametrize("name", BUILT)
def test_bytes_are_those_of_the_model_that_vllm_built(name: str) -> None:
    shape = shape_of(models()[name]["config"])
    assert shape is not None
    for built in models()[name]["vllm_0_32_meta_device"].values():
        own = bytes_of(all_groups(shape), shape, None) + rope_bytes(shape)
        assert own == pytest.approx(built["param_bytes"], rel=0.001)


def test_active_parameters_leave_idle_experts_out() -> None:
    shape = shape_of(models()["Qwen/Qwen3-30B-A3B"]["config"])
    assert shape is not None
    assert active_parameters_of(shape) / 1e9 == pytest.approx(3.353, rel=0.001)


def test_experts_that_work_on_a_smaller_vector_are_counted_so() -> None:
    """Nemotron 3 Super has 120 B parameters, of which 12 B are active (its model card)."""
    config = models()["nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-NVFP4"]["config"]
    shape = shape_of({**config, "moe_latent_size": 1024, "moe_shared_expert_intermediate_size": 5376})
    assert shape is not None
    assert parameters_of(shape) / 1e9 == pytest.approx(120, rel=0.02)
    assert active_parameters_of(shape) / 1e9 == pytest.approx(12, rel=0.08)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("deepseek-ai/DeepSeek-V3", 163840),
        ("openai/gpt-oss-20b", 131072),
        ("moonshotai/Kimi-K2.5", 262144),
        ("meta-llama/Meta-Llama-3.1-8B", 131072),
        ("google/gemma-3-27b-it", 131072),
        ("bge-m3", 8192),
    ],
)
def test_the_context_counts_rope_scaling_once(name: str, tokens: int) -> None:
    shape = shape_of(config_of(name) or {})
    assert shape is not None
    assert shape.max_positions == tokens


def test_yarn_without_named_positions_multiplies_the_context() -> None:
    scaling = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    shape = shape_of({**SMALL, "max_position_embeddings": 32768, "rope_scaling": scaling})
    assert shape is not None
    assert shape.max_positions == 131072


def test_layers_of_several_kinds_are_told_apart() -> None:
    shape = shape_of(models()["Qwen3-Next-80B-A3B"]["config"])
    assert shape is not None
    kinds = [type(layer.mixer) for layer in shape.layers]
    assert kinds.count(LinearAttention) == 36
    assert kinds.count(Attention) == 12


def test_latent_attention_is_seen_by_its_rank() -> None:
    shape = shape_of(models()["DeepSeek-V2-Lite"]["config"])
    assert shape is not None
    assert all(isinstance(layer.mixer, LatentAttention) for layer in shape.layers)


def test_an_unknown_model_type_is_doubted() -> None:
    shape = shape_of({**SMALL, "model_type": "novel"})
    assert shape is not None
    assert not shape.is_known
    assert "'novel' is not known" in shape.doubts[0]


def test_a_window_without_a_pattern_counts_as_attention_to_everything() -> None:
    shape = shape_of({**SMALL, "sliding_window": 16, "max_position_embeddings": 4096})
    assert shape is not None
    assert all(isinstance(layer.mixer, Attention) and layer.mixer.window is None for layer in shape.layers)
    assert not shape.is_known


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"hidden_size": 64},
        {"hidden_size": "64", "num_hidden_layers": 2},
        {"hidden_size": 64, "num_hidden_layers": 10**9},
        {"hidden_size": -1, "num_hidden_layers": 2},
        {"text_config": {"text_config": {}}},
    ],
)
def test_a_config_without_proportions_has_no_shape(config: Json) -> None:
    assert shape_of(config) is None
