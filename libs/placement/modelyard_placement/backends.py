"""What each backend can run on and how it takes devices: data, so that a new backend is a line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from modelyard_contracts.deployments import Backend

Capability = tuple[int, int]
KV_CACHE_DEVICES = frozenset({"cuda", "rocm"})
"""Where the KV cache can be extended to main memory."""


@dataclass(frozen=True, slots=True)
class BackendRules:
    device_types: frozenset[str] | None = None
    """None: any."""
    least_capability: Mapping[str, Capability] = field(default_factory=dict)
    """By device type."""
    on_cpu: bool = False
    """It runs in main memory alone, where that is allowed or no device is there."""
    partly_on_cpu: bool = False
    """It keeps some layers on devices and the others in main memory."""
    several_workers: bool = False
    shards: bool = False
    """It cuts tensors: the count of devices must divide heads and vocabulary. Otherwise it deals out layers,
    or it does what its operator says."""
    splits_by_room: bool = False
    """What each of several devices gets depends on how much room it has."""
    most_devices: int | None = None
    extends_kv_cache: bool = False


RULES: Mapping[str, BackendRules] = {
    Backend.VLLM: BackendRules(
        device_types=frozenset({"cuda", "rocm", "cann", "dtk", "musa", "maca", "corex", "xpu"}),
        least_capability={"cuda": (7, 0)},
        several_workers=True,
        shards=True,
        extends_kv_cache=True,
    ),
    Backend.SGLANG: BackendRules(
        device_types=frozenset({"cuda", "rocm", "cann", "musa", "xpu"}),
        least_capability={"cuda": (8, 0)},
        several_workers=True,
        shards=True,
        extends_kv_cache=True,
    ),
    Backend.MINDIE: BackendRules(device_types=frozenset({"cann"}), several_workers=True, shards=True),
    Backend.VOXBOX: BackendRules(device_types=frozenset({"cuda"}), on_cpu=True, most_devices=1),
    Backend.LLAMA_CPP: BackendRules(on_cpu=True, partly_on_cpu=True, splits_by_room=True),
}
CUSTOM = BackendRules(on_cpu=True)

QUANTIZATION_CAPABILITY: Mapping[str, Capability] = {
    "fp8": (8, 0),
    "fbgemm_fp8": (8, 0),
    "compressed-tensors": (7, 5),
    "awq": (7, 5),
    "gptq": (7, 0),
    "mxfp4": (8, 0),
    "modelopt_fp4": (8, 0),
    "nvfp4": (8, 0),
}
"""What vLLM and SGLang ask of CUDA devices for weights that are quantised so (their weight-only kernels)."""


def rules_of(backend: str) -> BackendRules:
    """Backends that operators define follow the rules of `Custom`."""
    return RULES.get(backend, CUSTOM)


@lru_cache(maxsize=256)
def capability(text: str | None) -> Capability | None:
    """`8.9` as (8, 9); None if it says no such thing."""
    major, _, minor = (text or "").partition(".")
    return (int(major), int(minor or 0)) if major.isdecimal() and (minor or "0").isdecimal() else None
