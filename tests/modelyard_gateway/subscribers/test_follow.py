"""The table is fed by whatever a log gives, in whatever batches, and says when it has caught up."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.base import Event
from modelyard_eventlog.log import AnyRecorded, LogPosition, LogUnavailable
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_eventlog.reader import Gap
from modelyard_gateway.domain.readiness import Readiness
from modelyard_gateway.domain.table import RoutingTable
from modelyard_gateway.subscribers.follow import follow
from modelyard_gateway_facts import (
    START,
    created_key,
    failed,
    fold,
    recorded,
    revoked,
    route,
    route_changed,
    running,
    silent,
    stopping,
)
from modelyard_gateway_world import append
from waiting import until

STORY: list[Event] = [
    route(1, "a"),
    created_key(1),
    running(10),
    running(11, worker_id=2),
    silent(2),
    failed(10),
    running(10, attempt=1),
    route_changed(1, "b"),
    created_key(2),
    revoked(1),
    stopping(11),
]


class ScriptedLog(InMemoryEventLog):
    """Gives the story in the batches it is told, after `failures` refusals, and then breaks."""

    def __init__(self, cuts: list[int], *, failures: int = 0) -> None:
        super().__init__()
        self._cuts = [0, *sorted(cuts), len(STORY)]
        self._failures = failures

    async def position(self) -> LogPosition:
        if self._failures:
            self._failures -= 1
            raise LogUnavailable("not yet")
        return LogPosition(created=START, last_seq=len(STORY))

    async def follow(self, after: int, *, batch: int = 500) -> AsyncIterator[list[AnyRecorded]]:
        assert after == 0
        for start, end in zip(self._cuts, self._cuts[1:], strict=False):
            if start < end:
                yield [recorded(seq, STORY[seq - 1]) for seq in range(start + 1, end + 1)]
        raise Gap("the log is damaged")


@given(st.lists(st.integers(0, len(STORY)), max_size=6))
def test_any_split_into_batches_gives_the_same_table(cuts: list[int]) -> None:
    table, readiness = RoutingTable(), Readiness()
    with pytest.raises(Gap):
        asyncio.run(follow(ScriptedLog(cuts), table, readiness))
    assert table == fold(*STORY)
    assert readiness.caught_up


async def test_it_waits_for_a_log_that_is_not_there_yet() -> None:
    table, readiness = RoutingTable(), Readiness()
    with pytest.raises(Gap):
        await follow(ScriptedLog([], failures=2), table, readiness)
    assert readiness.caught_up


async def test_an_empty_log_is_caught_up_with_at_once_and_then_followed() -> None:
    table, readiness, log = RoutingTable(), Readiness(), InMemoryEventLog()
    following = asyncio.create_task(follow(log, table, readiness))
    await until(lambda: readiness.caught_up)
    await append(log, route(1, "a"))
    await until(lambda: "a" in table.routes.by_name)
    following.cancel()
    await asyncio.wait({following})
