"""VoxBox: speech, on one GPU or the CPU. Not measured: by family of model, else from the files' size."""

from typing import Any

from modelyard_models.estimators.parts import GIB, part
from modelyard_models.estimators.request import Request
from modelyard_models.estimators.single import Single, need_of_single
from modelyard_models.need import Confidence, MemoryNeed, Part
from modelyard_models.versions import coefficients

MIB = 1024**2
HALVED = ("int8", "int8_float16", "int8_float32", "int8_bfloat16")
"""Compute types that load 16-bit files in 8 bit."""


def estimate_voxbox(request: Request) -> MemoryNeed:
    version, rules = coefficients("voxbox", request.version)
    family = _family(request, rules)
    on_cpu = not request.layout.devices()
    parts = _of_family(family) if family else _of_files(request, rules)
    if on_cpu:
        parts = [part(one.name, one.bytes * rules["cpu_factor"], one.note) for one in parts]
    ram = family["ram_gib"] if family else rules["host_gib"]
    said = Single(
        backend="VoxBox",
        version=version,
        confidence=Confidence.LOW if family is None and not _is_whisper(request) else Confidence.MEDIUM,
        parts=tuple(parts),
        host=(part("process", ram * GIB),),
        notes=("no start of VoxBox was measured: less certain",),
    )
    return need_of_single(request, said)


def _family(request: Request, rules: dict[str, Any]) -> dict[str, Any] | None:
    name = request.facts.location.lower()
    families: list[dict[str, Any]] = rules["families"]
    return next((one for one in families if one["name"] in name.replace("_", "-")), None)


def _of_family(family: dict[str, Any]) -> list[Part]:
    return [part("weights", family["vram_gib"] * GIB, f"with buffers, as {family['name']} is known to take")]


def _of_files(request: Request, rules: dict[str, Any]) -> list[Part]:
    size = request.facts.weight_bytes
    compute = request.flags.text("--compute-type", "--compute_type") or ""
    loaded = size / 2 if compute in HALVED else size
    parts = [part("weights", loaded, compute or "as in the files")]
    if _is_whisper(request):
        wide = (size / rules["cross_file_bytes"]) ** (2 / 3)
        cross = rules["beams"] * rules["cross_mib"] * MIB * wide
        parts.append(part("kv_cache", cross, f"of the encoder's output, for {rules['beams']} beams"))
    return [*parts, part("context", rules["runtime_gib"] * GIB, "runtime and buffers")]


def _is_whisper(request: Request) -> bool:
    facts = request.facts
    return "hisper" in f"{facts.location} {facts.category_rule} {' '.join(facts.architectures)}"
