"""Small clusters, demands and an estimate that is simple enough to be checked by hand."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from modelyard_contracts.deployments import (
    Backend,
    Claim,
    DeploymentSpec,
    GpuSelector,
    PlacementStrategy,
    Source,
)
from modelyard_contracts.models import ModelFacts, ModelFormat
from modelyard_contracts.parameters import value_of
from modelyard_models.estimate import Beside
from modelyard_models.layout import Layout
from modelyard_models.need import Confidence, DeviceNeed, HostNeed, MemoryNeed, Part
from modelyard_placement.claims import Sizer
from modelyard_placement.counts import Counts, counts_of
from modelyard_placement.demand import Demand, demand_of
from modelyard_placement.index import Index
from modelyard_placement.picture import DeviceView, Holding, Picture, WorkerView
from modelyard_placement.survey import Looks, Survey

GIB = 1024**3
LAYERS = 8
RAM_BESIDE_DEVICES = GIB // 4
CONTEXT_BYTES = GIB // 2
"""Of vLLM, beside its share."""


def plain_estimate(
    model: ModelFacts,
    backend: str,
    version: str | None,
    parameters: Sequence[str],
    layout: Layout,
    beside: Beside,
) -> MemoryNeed:
    """The weights in equal parts (by room for llama.cpp), nothing else; half of each card and a context for
    vLLM."""
    devices = layout.devices()
    weights = model.weight_bytes
    fraction = 0.5 if backend == Backend.VLLM else None
    layers = LAYERS if backend == Backend.LLAMA_CPP else None
    offloaded = LAYERS if layout.offload_layers is None else layout.offload_layers
    on_devices = weights * offloaded // LAYERS if devices else 0
    frees = [device.free_bytes or device.memory_bytes for device in devices]
    needs = []
    for rank, device in enumerate(devices):
        needed = on_devices * frees[rank] // max(1, sum(frees)) if layers else on_devices // len(devices)
        claim = int(device.memory_bytes * fraction) if fraction else needed
        parts = (Part(name="weights", bytes=needed),)
        context = CONTEXT_BYTES if fraction else 0
        needs.append(DeviceNeed(rank=rank, parts=parts, claim_bytes=claim, beside_bytes=context))
    ram = weights - on_devices + RAM_BESIDE_DEVICES
    hosts = tuple(
        HostNeed(worker=at, parts=(Part(name="weights", bytes=ram),)) for at in range(len(layout.workers))
    )
    return MemoryNeed(
        backend=backend,
        backend_version="1",
        confidence=Confidence.EXACT,
        devices=tuple(needs),
        hosts=hosts,
        context_tokens=int(value_of(parameters, "-c") or 0),
        fraction=fraction,
        fits=all(
            need.needed_bytes <= need.claim_bytes <= device.memory_bytes
            for need, device in zip(needs, devices, strict=True)
        ),
        total_layers=layers,
        offloaded_layers=(offloaded if devices else 0) if layers else None,
    )


def sizer() -> Sizer:
    return Sizer(plain_estimate)


def survey_of(rooms: Index, wanted: Demand, looks: Looks | None = None) -> Survey:
    counts = counts_of(wanted)
    assert isinstance(counts, Counts)
    return Survey(rooms, wanted, counts, sizer(), looks=looks)


def model(gib: int, **config: Any) -> ModelFacts:
    return ModelFacts(
        location="org/repo", format=ModelFormat.SAFETENSORS, weight_bytes=gib * GIB, config=config or None
    )


def demand(
    gib: int = 4,
    backend: str = Backend.CUSTOM,
    *,
    name: str = "chat",
    policy: PlacementStrategy = PlacementStrategy.SPREAD,
    replicas: int = 1,
    gpu_ids: tuple[str, ...] = (),
    gpus_per_replica: int | None = None,
    config: dict[str, Any] | None = None,
    **spec: Any,
) -> Demand:
    selector = None
    if gpu_ids or gpus_per_replica:
        selector = GpuSelector(gpu_ids=gpu_ids, gpus_per_replica=gpus_per_replica)
    return demand_of(
        name,
        DeploymentSpec(
            source=Source.HUGGINGFACE,
            huggingface_repo_id="org/repo",
            backend=backend,
            placement_strategy=policy,
            gpu_selector=selector,
            **spec,
        ),
        model=model(gib, **(config or {})),
        replicas=replicas,
    )


def device(
    index: int, gib: int = 8, *, type: str = "cuda", foreign: int = 0, reserved: int = 0
) -> DeviceView:
    return DeviceView(
        type=type,
        index=index,
        total_bytes=gib * GIB,
        name=f"{type}-{gib}",
        compute_capability="9.0" if type == "cuda" else None,
        foreign_bytes=foreign * GIB,
        reserved_bytes=reserved * GIB,
    )


def worker(ident: int, *devices: DeviceView, ram: int = 64, **fields: Any) -> WorkerView:
    return WorkerView(ident=ident, name=f"w{ident}", ram_total_bytes=ram * GIB, devices=devices, **fields)


def held(
    instance: object, on: int, vram: dict[str, int], *, ram: int = 0, deployment: str = "other"
) -> Holding:
    claim = Claim(ram_bytes=ram * GIB, vram_bytes={key: size * GIB for key, size in vram.items()})
    return Holding(str(instance), deployment, on, claim)


# --- for generators

DEVICE_SIZES = st.sampled_from([4, 8, 8, 16])


@st.composite
def workers(draw: st.DrawFn, ident: int) -> WorkerView:
    size, kind = draw(DEVICE_SIZES), draw(st.sampled_from(["cuda", "cuda", "rocm"]))
    odd = draw(st.booleans()) and draw(st.booleans())
    count = draw(st.integers(0, 4))
    devices = tuple(
        device(
            index,
            2 * size if odd and index == 1 else size,
            type=kind,
            foreign=draw(st.sampled_from([0, 0, 0, 2])),
        )
        for index in range(count)
    )
    return worker(
        ident,
        *devices,
        ram=draw(st.sampled_from([2, 8, 64])),
        cluster_id=draw(st.sampled_from([1, 1, 1, 2])),
        labels=draw(st.sampled_from([{}, {"zone": "a"}, {"zone": "b"}])),
        state=draw(st.sampled_from(["ready", "ready", "ready", "silent"])),
        files=draw(st.sampled_from([frozenset(), frozenset(), frozenset({"org/repo"})])),
        is_unified_memory=bool(devices) and draw(st.sampled_from([False, False, False, True])),
        maintenance=draw(st.sampled_from([False] * 7 + [True])),
        disk_free_bytes=draw(st.sampled_from([None, None, 5 * GIB, 100 * GIB])),
        backends=draw(st.sampled_from([None, None, None, {"vLLM": "1"}])),
    )


@st.composite
def pictures(draw: st.DrawFn, most: int = 5) -> Picture:
    fleet = [draw(workers(ident)) for ident in range(1, draw(st.integers(0, most)) + 1)]
    holdings = []
    for number in range(draw(st.integers(0, 6)) if fleet else 0):
        on = draw(st.sampled_from(fleet))
        taken = [one.key for one in on.devices if draw(st.booleans())]
        sizes = {key: draw(st.integers(0, 4)) for key in taken}
        owner = draw(st.sampled_from(["chat", "other"]))
        holdings.append(held(number, on.ident, sizes, ram=draw(st.integers(0, 2)), deployment=owner))
    return Picture(tuple(fleet), tuple(holdings))


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    backend = draw(st.sampled_from([Backend.VLLM, Backend.LLAMA_CPP, Backend.CUSTOM, Backend.VOXBOX]))
    return demand(
        draw(st.sampled_from([1, 3, 4, 6, 8, 12, 20])),
        backend,
        policy=draw(st.sampled_from(list(PlacementStrategy))),
        gpus_per_replica=draw(st.sampled_from([None, None, None, 2])) if backend != Backend.VOXBOX else None,
        worker_selector=draw(st.sampled_from([{}, {}, {"zone": "a"}])),
        cpu_offloading=draw(st.booleans()),
        force=False,
    )
