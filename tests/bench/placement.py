"""Placements a second as a cluster grows: the index beside a loop that looks at every worker each time."""

import gc
import resource
import time
from collections.abc import Callable, Iterator
from itertools import count, cycle, islice

from bench.report import Figure
from modelyard_contracts.deployments import Backend, DeploymentSpec, PlacementStrategy, Source
from modelyard_contracts.events import Decision
from modelyard_contracts.models import ModelFacts
from modelyard_placement.claims import Sizer
from modelyard_placement.counts import Counts, counts_of
from modelyard_placement.demand import Demand, demand_of
from modelyard_placement.index import Index
from modelyard_placement.picture import DeviceView, Holding, Picture, WorkerView
from modelyard_placement.place import Placement, place_in
from modelyard_placement.rooms import Rooms, ScannedRooms
from modelyard_placement.survey import Survey
from modelyard_placement.workload import Metadata
from modelyard_scheduler.domain.surveys import told_of

GIB = 1024**3
WORKERS = (10, 100, 1000, 5000)
GPUS = 8
INSTANCES = 10_000
MEASURED = 1000
SCANNED = 10
DEPLOYMENTS = 200
EXPLAINED, REPLICAS = 4, 100
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
KINDS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (2, ("--gpu-memory-utilization=0.2", "--max-model-len=4096")),
    (8, ("--gpu-memory-utilization=0.25", "--max-model-len=8192")),
    (8, ("--gpu-memory-utilization=0.2", "--max-model-len=4096", "--tensor-parallel-size=2")),
    (16, ("--gpu-memory-utilization=0.4", "--max-model-len=8192")),
)


def fleet(workers: int) -> Picture:
    return Picture(tuple(_worker(ident) for ident in range(1, workers + 1)))


def _worker(ident: int) -> WorkerView:
    size = (80, 80, 48, 141)[ident % 4]
    devices = tuple(
        DeviceView("cuda", index, size * GIB, f"gpu-{size}", "nvidia", "9.0") for index in range(GPUS)
    )
    return WorkerView(
        ident=ident,
        name=f"worker-{ident}",
        cluster_id=1,
        labels={"zone": "abcd"[ident % 4], "host": f"worker-{ident}"},
        ram_total_bytes=1024 * GIB,
        devices=devices,
    )


def demands() -> list[Demand]:
    return [_demand(number) for number in range(DEPLOYMENTS)]


def _demand(number: int) -> Demand:
    weight_gib, parameters = KINDS[number % len(KINDS)]
    spec = DeploymentSpec(
        source=Source.HUGGINGFACE,
        huggingface_repo_id=f"org/model-{number % 20}",
        backend=Backend.VLLM,
        backend_parameters=parameters,
        placement_strategy=list(PlacementStrategy)[number // 4 % 2],
        worker_selector={"zone": "abcd"[number // 8 % 4]} if number % 5 == 0 else {},
    )
    facts: ModelFacts = Metadata(config=CONFIG, weight_bytes=weight_gib * GIB).facts(spec.location())
    return demand_of(f"deployment-{number}", spec, cluster_id=1, model=facts)


def settle(rooms: Rooms, take: Callable[[Holding], None], demand: Demand, number: int, sizer: Sizer) -> bool:
    found = place_in(rooms, demand, sizer=sizer)
    if not isinstance(found, Placement):
        return False
    take(Holding(number, demand.deployment, found.worker.ident, found.claim))
    for part in found.subordinates:
        take(Holding(number, demand.deployment, part.worker_id, part.claim))
    return True


def fill(rooms: Index, work: Iterator[Demand], numbers: Iterator[int], instances: int, sizer: Sizer) -> None:
    for demand in islice(work, instances):
        settle(rooms, rooms.take, demand, next(numbers), sizer)


async def measure() -> list[Figure]:
    figures: list[Figure] = []
    first: float | None = None
    for workers in WORKERS:
        gc.collect()
        sizer, numbers, work = Sizer(), count(), cycle(demands())
        index = Index(fleet(workers))
        fill(index, work, numbers, min(INSTANCES, 10 * workers), sizer)
        placed, seconds = _timed(index, index.take, work, numbers, sizer, min(MEASURED, 2 * workers))
        picture = Picture(
            tuple(room.worker for room in index.everyone()),
            tuple(holding for room in index.everyone() for holding in room.holdings.values()),
        )
        _, naive = _timed(ScannedRooms(picture), _nothing, work, numbers, sizer, SCANNED)
        first = first or seconds
        figures += [
            Figure(
                f"{workers} workers: placements", 1 / seconds, "1/s", naive / seconds, "of the naive loop"
            ),
            Figure(f"{workers} workers: CPU of one", seconds * 1e3, "ms", seconds / first, "of 10 workers"),
            Figure(f"{workers} workers: CPU in the naive loop", naive * 1e3, "ms"),
            Figure(f"{workers} workers: claims held", len(picture.holdings), ""),
        ]
        assert placed == min(MEASURED, 2 * workers), placed
        figures += _explained(index, numbers, sizer, seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*figures, Figure("memory of the process at most", peak, "MiB", target="<= 500")]


def _explained(index: Index, numbers: Iterator[int], sizer: Sizer, plain: float) -> list[Figure]:
    """Replicas of a few deployments, each decision with what every worker and device was to it, as JSON. The
    first of a deployment has to look at all workers."""
    workers = sum(1 for _ in index.everyone())
    first, again, size, replicas = 0.0, 0.0, 0, min(REPLICAS, workers)
    for demand in demands()[:EXPLAINED]:
        counts = counts_of(demand)
        assert isinstance(counts, Counts)
        started = time.process_time()
        survey = Survey(index, demand, counts, sizer)
        told_of(survey)
        looked = time.process_time()
        for _ in range(replicas):
            settle(index, index.take, demand, next(numbers), sizer)
            assert survey.follow(index, demand)
            decision = Decision(policy="", decided_at_seq=0, **told_of(survey)._asdict())
            size = max(size, len(decision.model_dump_json()))
        first, again = first + looked - started, again + time.process_time() - looked
    first, again = first / EXPLAINED, again / EXPLAINED / replicas
    told = f"{workers} workers: placement with its explanation"
    return [
        Figure(told, again * 1e3, "ms", again / plain, "of the placement alone"),
        Figure(f"{workers} workers: first look for a deployment", first * 1e3, "ms"),
        Figure(f"{workers} workers: a decision at most", size / 1e3, "kB", None, "<= 256"),
    ]


def _nothing(_: Holding) -> None:
    """The loop starts from the same cluster each time."""


def _timed(
    rooms: Rooms,
    take: Callable[[Holding], None],
    work: Iterator[Demand],
    numbers: Iterator[int],
    sizer: Sizer,
    placements: int,
) -> tuple[int, float]:
    """How many were placed, and the CPU seconds of one."""
    started = time.process_time()
    placed = sum(settle(rooms, take, demand, next(numbers), sizer) for demand in islice(work, placements))
    return placed, (time.process_time() - started) / placements
