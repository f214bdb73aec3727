"""Why an instance is where it is, why not elsewhere, and what would make it fit."""

from modelyard_contracts.base import Contract, Instant
from modelyard_contracts.deployments import Alike, Candidate, Claim, Reason


class ExplainQuestion(Contract):
    instance_id: int


class WorkerVerdict(Contract):
    """What one worker is to an instance: a place with its score, or what stands against it."""

    worker: str
    place: Candidate | None = None
    reasons: tuple[Reason, ...] = ()


class Remedy(Contract):
    """A change that would make it fit, tried out on the cluster as it is; `worker` is where it would go."""

    change: str
    worker: str | None = None
    message: str


class Explanation(Contract):
    """As the scheduler sees it at `at_seq` of the log, as if the instance were to be placed now."""

    found: bool = True
    instance_id: int
    at_seq: int = 0
    at: Instant | None = None
    phase: str = ""
    workers_in_all: int = 0
    strategy: str | None = None
    claim: Claim | None = None
    """What it would take at the best place."""
    best: tuple[Candidate, ...] = ()
    verdicts: tuple[WorkerVerdict, ...] = ()
    """Of every worker where there are few, else of those that come closest."""
    alike: tuple[Alike, ...] = ()
    """Of every worker and each of its devices."""
    lacking: dict[str, int] = {}
    """How many reasons there are by check, over all workers."""
    remedies: tuple[Remedy, ...] = ()
    """Empty where it fits."""
