"""A model with its flags and layout: all that an estimate of llama.cpp follows from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelyard_contracts.deployments import Category
from modelyard_contracts.models import GgufFacts, ModelFacts
from modelyard_contracts.parameters import BadParameters

from modelyard_models.beside import NOTHING_BESIDE, Beside
from modelyard_models.layout import Device, Layout
from modelyard_models.llama_cpp import architectures
from modelyard_models.llama_cpp.attention import flash_on_devices
from modelyard_models.llama_cpp.builds import Build, build_of
from modelyard_models.llama_cpp.companions import Parts, adapter_parts, draft_parts, projector_parts
from modelyard_models.llama_cpp.flags import Flags, flags_of
from modelyard_models.llama_cpp.plan import Plan, plan
from modelyard_models.llama_cpp.shape import NoShape, Shape, shape_of
from modelyard_models.need import Confidence


@dataclass(frozen=True, slots=True)
class Case:
    """A model with all that its estimate follows from."""

    facts: GgufFacts
    shape: Shape
    flags: Flags
    build: Build
    devices: tuple[Device, ...]
    offload_layers: int | None
    adapters: tuple[ModelFacts, ...]
    draft: GgufFacts | None
    projector: GgufFacts | None
    confidence: Confidence
    notes: tuple[str, ...]

    def plan(self) -> Plan:
        return plan(self.facts, self.shape, self.flags, self.devices, self.build, self.offload_layers)

    def beside(self, planned: Plan) -> Parts:
        found: Parts = {}
        parts = [adapter_parts(self.adapters, planned.placement)]
        if self.projector:
            parts.append(projector_parts(self.projector, self.flags, self.devices))
        if self.draft:
            parts.append(draft_parts(self.draft, self.flags, self.devices, self.build))
        for part in parts:
            for where, items in part.items():
                found.setdefault(where, []).extend(items)
        return found


def case_of(
    model: ModelFacts,
    version: str | None,
    parameters: Sequence[str],
    layout: Layout,
    beside: Beside = NOTHING_BESIDE,
) -> Case:
    """Raises `BadParameters`: a parameter that cannot be, or a model that llama.cpp cannot load."""
    if model.gguf is None:
        raise BadParameters(f"backend: llama.cpp needs a GGUF file, and {model.location} is none")
    draft = beside.draft.gguf if beside.draft else None
    try:
        shape = shape_of(model.gguf)
        flags = flags_of(parameters, shape.context_length)
        if draft is not None:
            shape_of(draft)
    except NoShape as error:
        raise BadParameters(f"{model.location}: {error}") from error
    devices = layout.workers[0].devices
    if devices and flags.flash_auto and not flash_on_devices(shape):
        flags = replace(flags, flash_attention=False)
    if model.category in (Category.EMBEDDING, Category.RERANKER):
        flags = replace(flags, embedding=True)  # as it is started
    if not flags.flash_attention and flags.cache_type_v not in ("f16", "f32", "bf16"):
        raise BadParameters("backend_parameters: --cache-type-v: a quantised V cache needs flash attention")
    build = build_of(version)
    confidence, notes = _confidence(shape, build, draft, model.projector)
    if len(layout.workers) > 1:
        notes = (*notes, "llama.cpp runs on one worker: only the first of the layout is used")
    return Case(
        facts=model.gguf,
        shape=shape,
        flags=flags,
        build=build,
        devices=devices,
        offload_layers=layout.offload_layers,
        adapters=beside.adapters,
        draft=draft,
        projector=model.projector,
        confidence=confidence,
        notes=notes,
    )


def _confidence(
    shape: Shape, build: Build, draft: GgufFacts | None, projector: GgufFacts | None
) -> tuple[Confidence, tuple[str, ...]]:
    name = shape.architecture
    if not architectures.is_known(name):
        return Confidence.LOW, (
            f"the architecture {name!r} is not known: every layer is taken to keep its full context",
        )
    notes = []
    if not architectures.is_compared(name):
        notes.append(f"buffers of {name!r} follow from formulas that were measured on other architectures")
    if not build.is_known:
        notes.append(f"buffers of llama.cpp {build.name} are taken to be those of the nearest build measured")
    if projector:
        notes.append("the projector is counted with one image of the largest size")
    is_plain = architectures.is_compared(name) and draft is None and projector is None
    return Confidence.HIGH if is_plain else Confidence.MEDIUM, tuple(notes)
