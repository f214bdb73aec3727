"""Parameters, files and caches of real models, from their `config.json` alone."""

from modelyard_models.kv_cache import token_bytes_of_model
from modelyard_models.quantization import quantization_of
from modelyard_models.shape.count import active_parameters_of, all_groups, parameters_of
from modelyard_models.shape.read import shape_of
from modelyard_models.weights import bytes_of, rope_bytes
from real_models import Json, models

from bench_estimate.report import Comparison

BILLION = 10**9


def compare() -> list[Comparison]:
    parameters = Comparison("parameters", mean_at_most=0.002, within=0.025)
    active = Comparison("active parameters", mean_at_most=0.02, within=0.05)
    files = Comparison("bytes of files", mean_at_most=0.005, within=0.02)
    loaded = Comparison("bytes as vLLM built the model", mean_at_most=0.001, within=0.01)
    cache = Comparison("KV cache of a token", mean_at_most=0.001, within=0.005)
    for name, row in models().items():
        shape = shape_of(row.get("config") or {})
        if shape is None:
            continue
        computed = row.get("computed", {})
        if text := computed.get("params_text_b"):
            total = text + computed["params_vision_b_estimate"]
            parameters.add(name, parameters_of(shape) / BILLION, total)
            if "gemma-4" not in name.lower():  # its file does not say how many experts are active
                active.add(name, active_parameters_of(shape) / BILLION, computed["active_params_b"])
        if real := _file_bytes(row):
            files.add(name, bytes_of(all_groups(shape), shape, quantization_of(row["config"])), real)
        for one in row.get("vllm_0_32_meta_device", {}).values():
            loaded.add(name, bytes_of(all_groups(shape), shape, None) + rope_bytes(shape), one["param_bytes"])
        if truth := computed.get("kv_bytes_per_token_16bit"):
            cache.add(name, token_bytes_of_model(shape, 2), truth)
    return [parameters, active, files, loaded, cache]


def _file_bytes(row: Json) -> float | None:
    """Where they hold no layers for multi-token prediction."""
    size: float | None = row.get("safetensors_total_bytes")
    return None if (row.get("config") or {}).get("num_nextn_predict_layers") else size
