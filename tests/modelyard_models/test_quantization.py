"""How `quantization_config` in the wild is understood."""

import pytest
from modelyard_models.quantization import kept_roles, quantization_of
from modelyard_models.shape.count import Role
from real_models import Json, config_of, models

GROUP: Json = {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32}}


@pytest.mark.parametrize(
    ("name", "scheme", "size"),
    [
        ("deepseek-ai/DeepSeek-V3", "fp8", 1.0002),
        ("Qwen/Qwen3-32B-FP8-Static-PerTensor", "fp8", 1.0),
        ("openai/gpt-oss-20b", "mxfp4", 0.53125),
        ("nvidia/GLM-5.1-NVFP4", "nvfp4", 0.5625),
        ("moonshotai/Kimi-K2.5", "w4a16", 0.5625),
        ("kaitchup/Phi-4-AutoRound-GPTQ-4bit", "gptq", 0.5156),
        ("RedHatAI/Qwen2.5-7B-Instruct-quantized.w8a8", "w8a8", 1.0),
        ("Phi-4 bnb-4bit", "bitsandbytes", 0.516),
    ],
)
def test_schemes_of_real_models(name: str, scheme: str, size: float) -> None:
    found = quantization_of(config_of(name) or models()[name]["config"])
    assert found is not None
    assert found.name == scheme
    assert found.bytes_per_weight == pytest.approx(size, rel=0.001)


def test_awq_counts_its_zeros() -> None:
    found = quantization_of({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}})
    assert found is not None
    assert found.bytes_per_weight == pytest.approx(0.5195, abs=0.0001)


def test_sixteen_bit_is_no_quantization() -> None:
    assert quantization_of(config_of("Qwen/Qwen3-8B") or {}) is None
    assert quantization_of({"quantization_config": {"quant_method": "novel"}}) is None


def test_modules_named_for_every_layer_or_by_a_pattern_stay_in_16_bit() -> None:
    assert kept_roles(["model.layers.*.self_attn", "lm_head"], 36) == {Role.ATTENTION}
    assert kept_roles([f"model.layers.{at}.self_attn" for at in range(36)], 36) == {Role.ATTENTION}
    assert kept_roles(["re:.*shared_experts.*"], 61) == {Role.SHARED_EXPERTS}


def test_a_few_modules_of_some_layers_change_nothing() -> None:
    assert kept_roles(["model.layers.0.self_attn", "model.layers.1.mlp.gate"], 36) == frozenset()
    assert kept_roles(["gate", "e_score_correction_bias", "lm_head"], 62) == frozenset()
