"""What llama.cpp holds beside the model: projectors, adapters and draft models."""

from collections.abc import Sequence
from dataclasses import replace

from modelyard_contracts.models import GgufFacts, ModelFacts

from modelyard_models.layout import Device
from modelyard_models.llama_cpp.builds import Build
from modelyard_models.llama_cpp.flags import Flags
from modelyard_models.llama_cpp.placement import HOST, Placement
from modelyard_models.llama_cpp.plan import plan
from modelyard_models.llama_cpp.shape import shape_of
from modelyard_models.need import Part

Parts = dict[int, list[Part]]
"""By rank, and `HOST`."""
ELEMENT_BYTES = 4
MOST_PATCHES = 16_384
"""Of one image, for projectors that take any size."""
ANY_SIZE = ("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "pixtral", "kimivl", "lfm2", "glm4v")


def projector_parts(projector: GgufFacts, flags: Flags, devices: Sequence[Device]) -> Parts:
    """It lies whole on the main device: weights, and the activations of the largest image."""
    where = flags.main_gpu if devices and flags.projector_offload else HOST
    size = sum(group.padded_bytes for group in projector.groups)
    return {
        where: [
            Part(name="projector", bytes=size, note="weights of the multimodal projector"),
            Part(name="projector_compute", bytes=_image_bytes(projector), note="one image at its largest"),
        ]
    }


def _image_bytes(projector: GgufFacts) -> int:
    """As a layer of a dense model: three inner widths and four embeddings for each patch."""
    found = 0
    for modality in ("vision", "audio"):
        width = _number(projector, f"clip.{modality}.embedding_length")
        inner = _number(projector, f"clip.{modality}.feed_forward_length")
        found = max(found, _patches(projector, modality) * (3 * inner + 4 * width) * ELEMENT_BYTES)
    return found


def _patches(projector: GgufFacts, modality: str) -> int:
    kind = projector.metadata.get("clip.projector_type") or projector.metadata.get(
        "clip.vision.projector_type"
    )
    if modality == "audio":
        return 1500
    side = _number(projector, "clip.vision.image_size") // max(
        _number(projector, "clip.vision.patch_size"), 1
    )
    return MOST_PATCHES if kind in ANY_SIZE else min(side * side, MOST_PATCHES)


def _number(facts: GgufFacts, key: str) -> int:
    value = facts.metadata.get(key)
    return value if isinstance(value, int) and 0 <= value < 1 << 20 else 0


def adapter_parts(adapters: Sequence[ModelFacts], placement: Placement) -> Parts:
    """Each matrix of an adapter lies where the one is that it changes."""
    found: dict[int, int] = {}
    for adapter in adapters:
        groups = adapter.gguf.groups if adapter.gguf else ()
        for group in groups:
            is_layer = group.layer is not None and group.layer < len(placement.layers)
            where = placement.layers[group.layer or 0] if is_layer else placement.output
            found[where] = found.get(where, 0) + group.padded_bytes
        if not groups:
            found[placement.output] = found.get(placement.output, 0) + adapter.weight_bytes
    note = f"{len(adapters)} LoRA adapter(s)"
    return {where: [Part(name="adapters", bytes=size, note=note)] for where, size in found.items()}


def draft_parts(draft: GgufFacts, flags: Flags, devices: Sequence[Device], build: Build) -> Parts:
    """A model of its own, with a context of its own, on the same devices. Raises `NoShape`."""
    shape = shape_of(draft)
    own = replace(
        flags,
        context=flags.draft_context or flags.context,
        gpu_layers=flags.draft_gpu_layers,
        cpu_moe_layers=0,
    )
    planned = plan(draft, shape, own, devices, build)
    found: Parts = {}
    for where in (HOST, *planned.placement.devices):
        on_host = where == HOST
        sizes = {
            "draft_weights": planned.weights.host if on_host else planned.weights.devices[where],
            "draft_kv_cache": planned.cache[where],
            "draft_compute": planned.buffers.host if on_host else planned.buffers.devices[where],
        }
        found[where] = [Part(name=name, bytes=size) for name, size in sizes.items() if size]
    return found
