"""Where an instance goes, or why it can go nowhere: a pure function of the picture and what workers said.

Now for llama.cpp in main memory. Each filter gives its own reason, the first that fails on a worker.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from modelyard_contracts.backends import CUSTOM_SUFFIX
from modelyard_contracts.deployments import Backend, Claim, DeploymentSpec, PlacementStrategy, Reason, Source
from modelyard_contracts.messages import PathAnswer
from modelyard_contracts.parameters import BadParameters, split_parameters, value_of

from modelyard_scheduler.domain.instance import InstanceState
from modelyard_scheduler.domain.worker import WorkerPhase, WorkerState

VERSION = 1
DEFAULT_CONTEXT = 4096
OVERHEAD_BYTES = 256 * 1024**2
GIB = 1024**3

MOST_REASONS = 50
CHECKS = ("state", "maintenance", "cluster", "labels", "backend", "local_path", "ram")
"""In the order in which a worker is checked."""

PathSaid = PathAnswer | str
"""What a worker said of the path, or why it did not."""


@dataclass(frozen=True, slots=True)
class Placement:
    worker: WorkerState
    claim: Claim
    candidates: int


@dataclass(frozen=True, slots=True)
class Unplaceable:
    reasons: tuple[Reason, ...]

    def stated(self) -> tuple[Reason, ...]:
        """As many reasons as an event has room for: those that came closest to fitting."""
        return tuple(sorted(self.reasons, key=lambda reason: -CHECKS.index(reason.check))[:MOST_REASONS])

    def message(self) -> str:
        if not self.reasons:
            return "No suitable workers: no worker has joined yet"
        told = self.stated()
        lines = ["No suitable workers.", *(reason.message for reason in told)]
        if len(told) < len(self.reasons):
            counts = Counter(reason.check for reason in self.reasons)
            summary = ", ".join(f"{check} {counts[check]}" for check in CHECKS if counts[check])
            lines.append(f"In all {len(self.reasons)} workers, by what they lack: {summary}.")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many instances a worker has: of this deployment, and in all."""

    same: int
    all: int


def policy_name(spec: DeploymentSpec) -> str:
    """What a decision says it was made by, and that it was made without knowing the size, if so."""
    unknown = "" if spec.source is Source.LOCAL_PATH else " (model size unknown)"
    return f"{spec.placement_strategy}/{VERSION}{unknown}"


def place(
    state: InstanceState,
    workers: Collection[WorkerState],
    said: Mapping[int, PathSaid],
    crowds: Mapping[int, Crowd],
) -> Placement | Unplaceable:
    """`said` and `crowds` are keyed by worker. The order of `workers` never matters."""
    fitting: list[tuple[WorkerState, Claim]] = []
    reasons: list[Reason] = []
    for worker in sorted(workers, key=lambda w: w.worker_id):
        answer = said.get(worker.worker_id)
        claim = claim_for(state.spec, answer if isinstance(answer, PathAnswer) else None)
        reason = first_obstacle(state, worker, answer, claim)
        if reason is None:
            fitting.append((worker, claim))
        else:
            reasons.append(reason)
    if not fitting:
        return Unplaceable(tuple(reasons))
    worker, claim = min(fitting, key=lambda fit: _rank(state.spec.placement_strategy, fit[0], crowds))
    return Placement(worker=worker, claim=claim, candidates=len(fitting))


def claim_for(spec: DeploymentSpec, answer: PathAnswer | None) -> Claim:
    """Weights, 16-bit KV cache of the whole context, and a flat allowance for buffers.

    Without an answer (a model of a hub, not yet fetched) only the allowance is known and claimed.
    """
    if answer is None:
        return Claim(ram_bytes=OVERHEAD_BYTES)
    asked = context_size(spec.backend_parameters)
    context = asked or answer.context_length or DEFAULT_CONTEXT
    return Claim(ram_bytes=answer.weight_bytes + context * (answer.kv_bytes_per_token or 0) + OVERHEAD_BYTES)


def context_size(parameters: Sequence[str]) -> int:
    """What the last `-c` or `--ctx-size` says, in any of its spellings; 0 stands for the model's own length.
    llama.cpp's launcher takes 4096 by default."""
    try:
        said = value_of(split_parameters(parameters), "-c", "--ctx-size")
    except BadParameters:
        return DEFAULT_CONTEXT
    return int(said) if said and said.isdecimal() else DEFAULT_CONTEXT


def candidates(state: InstanceState, workers: Collection[WorkerState]) -> list[WorkerState]:
    """The workers whose answer about the path would matter: nothing else stands against them."""
    return [worker for worker in workers if _unfit(state, worker) is None]


def first_obstacle(
    state: InstanceState, worker: WorkerState, said: PathSaid | None, claim: Claim
) -> Reason | None:
    return _unfit(state, worker) or _no_path(state, worker, said) or _no_room(worker, claim)


def _unfit(state: InstanceState, worker: WorkerState) -> Reason | None:
    return (
        _not_usable(worker)
        or _wrong_cluster(state, worker)
        or _wrong_labels(state, worker)
        or _no_backend(state, worker)
    )


def _not_usable(worker: WorkerState) -> Reason | None:
    if worker.phase is not WorkerPhase.READY:
        return Reason(
            worker=worker.name,
            check="state",
            needed="ready",
            available=worker.phase.value,
            message=f"{worker.name} is {worker.phase.value}, not ready",
        )
    if worker.maintenance:
        return Reason(worker=worker.name, check="maintenance", message=f"{worker.name} is in maintenance")
    return None


def _wrong_cluster(state: InstanceState, worker: WorkerState) -> Reason | None:
    if worker.cluster_id == state.cluster_id:
        return None
    return Reason(
        worker=worker.name,
        check="cluster",
        needed=str(state.cluster_id),
        available=str(worker.cluster_id),
        message=f"{worker.name} is in cluster {worker.cluster_id}, not {state.cluster_id}",
    )


def _wrong_labels(state: InstanceState, worker: WorkerState) -> Reason | None:
    for key, value in sorted(state.spec.worker_selector.items()):
        if worker.labels.get(key) != value:
            has = f"{key}={worker.labels[key]}" if key in worker.labels else f"no label {key}"
            return Reason(
                worker=worker.name,
                check="labels",
                needed=f"{key}={value}",
                available=has,
                message=f"{worker.name} has {has}, the worker selector asks for {key}={value}",
            )
    return None


def _no_backend(state: InstanceState, worker: WorkerState) -> Reason | None:
    backends = worker.inventory.backends if worker.inventory else {}
    needed = state.spec.backend or Backend.LLAMA_CPP.value
    if needed in backends or needed == Backend.CUSTOM or needed.endswith(CUSTOM_SUFFIX):
        return None  # an operator's own: its command says what it needs
    return Reason(
        worker=worker.name,
        check="backend",
        needed=needed,
        available=", ".join(sorted(backends)) or "none",
        message=f"{worker.name} does not have the backend {needed}",
    )


def _no_path(state: InstanceState, worker: WorkerState, said: PathSaid | None) -> Reason | None:
    if state.spec.source is not Source.LOCAL_PATH:
        return None
    if isinstance(said, PathAnswer) and said.found:
        return None
    why = said.message if isinstance(said, PathAnswer) else said or "it was not asked"
    return Reason(
        worker=worker.name,
        check="local_path",
        needed=state.spec.local_path,
        message=f"{worker.name} does not have {state.spec.local_path}: {why}",
    )


def _no_room(worker: WorkerState, claim: Claim) -> Reason | None:
    free = worker.ram_free_bytes()
    if claim.ram_bytes <= free:
        return None
    needed, available = f"{claim.ram_bytes / GIB:.2f} GiB", f"{max(free, 0) / GIB:.2f} GiB"
    return Reason(
        worker=worker.name,
        check="ram",
        needed=needed,
        available=available,
        message=f"{worker.name} has {available} of memory free, {needed} are needed",
    )


def _rank(
    strategy: PlacementStrategy, worker: WorkerState, crowds: Mapping[int, Crowd]
) -> tuple[int, int, int]:
    """The smallest wins; the id settles ties."""
    crowd = crowds.get(worker.worker_id, Crowd(0, 0))
    match strategy:
        case PlacementStrategy.SPREAD:
            return crowd.same, crowd.all, worker.worker_id
        case PlacementStrategy.BINPACK:
            return 0, worker.ram_free_bytes(), worker.worker_id
