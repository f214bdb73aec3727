"""When a failed instance is started again."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from modelyard_contracts.failures import HOPELESS, FailureCause

from modelyard_scheduler.domain.instance import InstanceState, Phase

JITTER_SHARE = 0.1
HOPELESS_TRIES = 3
"""Starts of what has never run, where starting again mends nothing: a cause is read from words, and may be
mistaken once."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    base_s: float = 10.0
    max_s: float = 300.0
    reset_s: float = 600.0
    """A stretch of running this long makes the next failure the first again."""


@dataclass(frozen=True, slots=True)
class Restart:
    attempt: int
    streak: int
    delay_s: float
    restart_at: datetime


def next_restart(
    state: InstanceState, now: datetime, policy: RestartPolicy, *, jitter: float
) -> Restart | None:
    """The restart that a failed instance is due; None if it is not failed, or is to stay so.

    `jitter` in [0, 1) moves the delay by up to a tenth either way, so that what fails together does not
    come back together; `max_s` is never exceeded. What ended with its worker's orderly shutdown has not
    failed: it starts again at once. The count comes from the log: whoever restarts, it goes on.
    """
    if state.phase is not Phase.FAILED:
        return None
    if state.failure is FailureCause.WORKER_STOPPED:
        return Restart(attempt=state.attempt + 1, streak=state.streak, delay_s=0.0, restart_at=now)
    if stays_failed(state):
        return None
    streak = 1 if state.healthy_s >= policy.reset_s else state.streak + 1
    delay_s = delay(streak, policy, jitter=jitter)
    return Restart(
        attempt=state.attempt + 1,
        streak=streak,
        delay_s=delay_s,
        restart_at=now + timedelta(seconds=delay_s),
    )


def stays_failed(state: InstanceState) -> bool:
    """Whether a failed instance is not to be started again. What has run before may run again, whatever it
    fails of now: a disk that is away for a while takes nothing down for good."""
    if state.phase is not Phase.FAILED or state.failure is FailureCause.WORKER_STOPPED:
        return False
    if not state.spec.restart_on_error:
        return True
    return state.failure in HOPELESS and not state.has_run and state.streak + 1 >= HOPELESS_TRIES


def may_give_back(state: InstanceState, now: datetime, grace_s: float) -> bool:
    """Whether it was given up, and failed longer ago than the grace."""
    return (
        state.given_up and state.failed_at is not None and now - state.failed_at >= timedelta(seconds=grace_s)
    )


def delay(streak: int, policy: RestartPolicy, *, jitter: float) -> float:
    """`base_s` after the first failure, doubled with each further one."""
    # beyond 2**32 the limit has long been reached, and floats would overflow later on
    doubled = policy.base_s * 2.0 ** min(streak - 1, 32)
    spread = 1 + JITTER_SHARE * (2 * jitter - 1)
    return round(min(policy.max_s, min(policy.max_s, doubled) * spread), 3)
