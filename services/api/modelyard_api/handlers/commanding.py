"""How a command is carried out: load, decide, append; on a conflict load and decide again."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard_contracts.base import Aggregate
from modelyard_contracts.envelope import Cause, Recorded
from modelyard_contracts.events import NameClaimed, NameReleased, name_id
from modelyard_eventlog.log import Appended, Conflict, EventLog, LogUnavailable, Write
from modelyard_runtime.clock import Now

from modelyard_api.domain.errors import Refusal, conflict, name_taken, outdated, unavailable
from modelyard_api.domain.naming import NameState, name_state

SOURCE = "modelyard/api"
TRIES = 30


@dataclass(frozen=True, slots=True)
class Commander:
    """On whose behalf a command is carried out, and how it is known again when it is repeated."""

    actor: str
    command_id: str
    traceparent: str | None

    def cause(self, now: Now) -> Cause:
        return Cause(
            command_id=self.command_id,
            actor=self.actor,
            source=SOURCE,
            time=now(),
            correlation_id=self.command_id,
            causation_id=self.command_id,
            traceparent=self.traceparent,
        )

    def made(self, event_id: str | None) -> bool:
        """True if this very command wrote the event before."""
        return event_id is not None and event_id.rpartition("/")[0] == self.command_id


def command_id(actor: str, idempotency_key: str | None, new_id: Callable[[], str]) -> str:
    """The same for the same caller and key, so that a repeated command is known; else a new one."""
    if idempotency_key is None:
        return new_id()
    return hashlib.sha256(f"{actor}\n{idempotency_key}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to. `seq` is the last sequence that matters to the caller."""

    ident: int
    seq: int


Decide = Callable[[], Awaitable[Sequence[Write] | Done]]


async def carry_out(
    log: EventLog, decide: Decide, ident: Callable[[], int], commander: Commander, now: Now
) -> Done:
    """Appends what `decide` gives; `Done` instead means that there is nothing to write.

    Raises `Refusal`: the decision's own, 503 if the log does not answer, 409 if others are always faster.
    """
    cause = commander.cause(now)
    for _ in range(TRIES):
        try:
            writes = await decide()
            if isinstance(writes, Done):
                return writes
            appended: Appended = await log.append(writes, cause)
        except Conflict:
            continue
        except LogUnavailable as error:
            raise log_unavailable(error) from error
        return Done(ident=ident(), seq=appended.seq)
    raise conflict("others kept changing this at the same time: try again")


def log_unavailable(error: LogUnavailable) -> Refusal:
    return unavailable(
        f"{error}. Send the same request again with the same Idempotency-Key: it will be carried out once"
    )


async def load(log: EventLog, aggregate: Aggregate, ident: int | str) -> list[Recorded[Any]]:
    """Raises `Refusal` if the log does not answer."""
    try:
        return await log.load(aggregate, str(ident))
    except LogUnavailable as error:
        raise log_unavailable(error) from error


async def held(log: EventLog, kind: Aggregate, name: str) -> NameState:
    """Who has the name now. Raises `Refusal` if the log does not answer."""
    return name_state(await load(log, Aggregate.NAME, name_id(kind, name)))


async def renamed(
    log: EventLog, kind: Aggregate, what: str, ident: int, before: str, name: str
) -> list[Write]:
    """Gives the old name back and takes the new one, if it differs; `what` it is, for people. Raises
    `Refusal` if the name is taken."""
    if name == before:
        return []
    state = await held(log, kind, name)
    if state.held_by is not None:
        raise name_taken(what, name)
    return [
        Write(NameReleased(kind=kind, name=before, released_by=ident), None),
        Write(NameClaimed(kind=kind, name=name, claimed_by=ident), state.seq),
    ]


def check_match(seq: int, if_match: int | None) -> None:
    if if_match is not None and seq > if_match:
        raise outdated(seq, if_match)
