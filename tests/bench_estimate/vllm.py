"""vLLM and SGLang against their own logs. Nothing but configurations goes in: not even sizes of files."""

from modelyard_models.need import DeviceNeed
from real_models import GIB, Start, starts

from bench_estimate.report import Comparison

MANY_RANKS = 8
"""From so many tensor ranks on, weights of models with latent attention are known less well."""


def compare() -> list[Comparison]:
    cache = Comparison("KV cache of a token, per device", mean_at_most=0.005)
    weights = Comparison("weights per device", mean_at_most=0.01)
    latent = Comparison("weights per device, MLA on 8 ranks", within=0.06)
    activation = Comparison("activation", mean_at_most=0.05)
    need = Comparison("need per device", mean_at_most=0.03)
    safe = Comparison("need per device with margin", under_at_most=0.02)
    for start in starts():
        device = start.device()
        if device is None:
            continue
        _add(cache, start, "kv_bytes_per_token_observed_per_gpu", device.kv_bytes_per_token)
        many = (
            latent if start.row["world_size"] >= MANY_RANKS and "DeepSeek" in start.row["model"] else weights
        )
        if not _is_of_unknown_files(start):
            _add(many, start, "weight_gib", _gib(device, "weights"))
        if start.version in ("0.19.0", "0.16"):
            _add(activation, start, "activation_gib", _gib(device, "activation"))
        if start.version == "0.19.0":
            _add(need, start, "true_min_per_gpu_gib", sum(part.bytes for part in device.parts) / GIB)
            _add(safe, start, "true_min_per_gpu_gib", device.needed_bytes / GIB)
    return [cache, weights, latent, activation, need, safe]


def _is_of_unknown_files(start: Start) -> bool:
    """Checkpoints in 4 bit by bitsandbytes keep modules in 16 bit that their name does not tell."""
    return "bnb" in start.row["model"] and "Phi-4" not in start.row["model"]


def _gib(device: DeviceNeed, name: str) -> float:
    return sum(part.bytes for part in device.parts if part.name == name) / GIB


def _add(comparison: Comparison, start: Start, key: str, estimated: float) -> None:
    truth = start.get(key)
    if truth:
        comparison.add(start.name, estimated, truth)
