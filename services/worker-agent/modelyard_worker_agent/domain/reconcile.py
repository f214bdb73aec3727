"""What the agent does about one instance: from what is wanted and what is here, to one step."""

from dataclasses import dataclass
from enum import StrEnum

from modelyard_contracts.messages import GroupWant, Want


class Here(StrEnum):
    """What this machine has of an instance."""

    NOTHING = "nothing"
    ALIVE = "alive"
    """Starting or running."""
    ENDED = "ended"
    """Its last attempt failed."""
    STOPPED = "stopped"
    """It was stopped because it was told to be."""


class Step(StrEnum):
    NOTHING = "nothing"
    FETCH = "fetch"
    PREPARE = "prepare"
    START = "start"
    HALT = "halt"
    """Ends what there is of an attempt that failed elsewhere, and says nothing."""
    STOP = "stop"
    SAY_STOPPED = "say_stopped"


@dataclass(frozen=True, slots=True)
class Local:
    here: Here
    attempt: int
    """Of the last start; -1 if there was none."""
    fetched: int = -1
    """The attempt that the model is here for; of a group."""
    prepared: int = -1
    """The attempt that everything is here for; of a group."""


def is_in_vain(want: Want, attempt: int) -> bool:
    """Whether what is being done for this attempt is wanted no more."""
    if want.group is None:
        return want.state == "absent"
    return want.state != "running" or want.attempt > attempt


def next_step(want: Want | None, local: Local) -> Step:
    """Without a want nothing is stopped: a control plane that is away must not kill what is healthy."""
    if want is None:
        return Step.NOTHING
    if want.state == "absent":
        match local.here:
            case Here.ALIVE:
                return Step.STOP
            case Here.NOTHING | Here.ENDED | Here.STOPPED:
                return Step.SAY_STOPPED
    if local.here is Here.ALIVE:
        outdated = want.state == "halted" or (want.group is not None and want.attempt > local.attempt)
        return Step.HALT if outdated else Step.NOTHING
    if want.state == "halted" or want.attempt <= local.attempt:
        return Step.NOTHING
    return Step.START if want.group is None else _towards_start(want.attempt, want.group, local)


def _towards_start(attempt: int, group: GroupWant, local: Local) -> Step:
    """The primary takes the ports before the others look whether they reach it."""
    if group.start:
        return Step.START
    if local.fetched < attempt:
        return Step.FETCH
    if local.prepared < attempt and (group.rank == 0 or group.ports):
        return Step.PREPARE
    return Step.NOTHING
