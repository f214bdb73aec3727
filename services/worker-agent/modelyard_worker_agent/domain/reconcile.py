"""What the agent does about one instance: from what is wanted and what is here, to one step."""

from dataclasses import dataclass
from enum import StrEnum

from modelyard_contracts.messages import Want


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
    START = "start"
    STOP = "stop"
    SAY_STOPPED = "say_stopped"


@dataclass(frozen=True, slots=True)
class Local:
    here: Here
    attempt: int
    """Of the last start; -1 if there was none."""


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
    if local.here is not Here.ALIVE and want.attempt > local.attempt:
        return Step.START
    return Step.NOTHING
