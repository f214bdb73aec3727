"""Which instances are asked, with model servers that do what the test says and a clock it sets."""

from collections.abc import AsyncIterator

import pytest
from modelyard_gateway.domain.headers import Headers
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.table import Endpoint
from modelyard_gateway.handlers.dispatch import Dispatcher
from modelyard_gateway.ports import (
    CouldNotConnect,
    Unsendable,
    UpstreamBroke,
    UpstreamRequest,
    UpstreamTimedOut,
)
from modelyard_gateway_facts import fold, lost, recorded, route, running, silent

REQUEST = UpstreamRequest(method="POST", target=b"/x", headers=[], body=b"")


class FakeResponse:
    def __init__(self) -> None:
        self.closed = False

    @property
    def status(self) -> int:
        return 200

    @property
    def headers(self) -> Headers:
        return []

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"x"

    async def aclose(self) -> None:
        self.closed = True


class FakeUpstream:
    def __init__(self) -> None:
        self.trouble: dict[int, Exception] = {}
        self.asked: list[int] = []
        self.responses: list[FakeResponse] = []

    async def send(self, endpoint: Endpoint, request: UpstreamRequest) -> FakeResponse:
        self.asked.append(endpoint.instance_id)
        if endpoint.instance_id in self.trouble:
            raise self.trouble[endpoint.instance_id]
        self.responses.append(FakeResponse())
        return self.responses[-1]


class Stand:
    def __init__(self, *instances: int) -> None:
        self.table = fold(route(1, "a"), *(running(n, worker_id=n) for n in instances))
        self.upstream = FakeUpstream()
        self.time = 0.0
        self.dispatcher = Dispatcher(
            self.table, self.upstream, clock=lambda: self.time, skip_failed_s=5, retry_after_s=7
        )

    async def ask(self) -> list[int]:
        """The instances that one request tried."""
        self.upstream.asked.clear()
        async with self.dispatcher.exchange(self.table.routes.by_id[1], REQUEST):
            assert self.dispatcher.in_flight() == 1
        assert self.dispatcher.in_flight() == 0
        return list(self.upstream.asked)

    async def refusal(self) -> Refusal:
        with pytest.raises(Refusal) as refused:
            await self.ask()
        assert self.dispatcher.in_flight() == 0
        return refused.value


async def test_an_instance_that_refused_is_left_alone_for_a_while() -> None:
    stand = Stand(1, 2)
    stand.upstream.trouble[1] = CouldNotConnect("refused")
    tried = [await stand.ask() for _ in range(10)]
    assert [1, 2] in tried
    assert sum(one.count(1) for one in tried) == 1
    stand.upstream.trouble.clear()
    stand.time = 5.1
    assert [1] in [await stand.ask() for _ in range(10)]


async def test_each_instance_is_tried_once() -> None:
    stand = Stand(1, 2, 3)
    stand.upstream.trouble = {n: CouldNotConnect("refused") for n in (1, 2, 3)}
    refused = await stand.refusal()
    assert (refused.status, refused.code) == (502, "instance_unreachable")
    assert sorted(stand.upstream.asked) == [1, 2, 3]


async def test_no_instance_says_when_to_come_again() -> None:
    refused = await Stand().refusal()
    assert (refused.status, refused.retry_after_s) == (503, 7)


@pytest.mark.parametrize(
    ("trouble", "status"),
    [(UpstreamBroke("cut"), 502), (UpstreamTimedOut("slow"), 504), (Unsendable("bad"), 400)],
)
async def test_once_connected_no_other_instance_is_tried(trouble: Exception, status: int) -> None:
    stand = Stand(1, 2)
    stand.upstream.trouble = {1: trouble, 2: trouble}
    assert (await stand.refusal()).status == status
    assert len(stand.upstream.asked) == 1


async def test_instances_of_a_silent_worker_serve_where_no_other_can() -> None:
    stand = Stand(1, 2)
    stand.table.apply(recorded(4, silent(1)))
    assert {tuple(await stand.ask()) for _ in range(10)} == {(2,)}
    stand.upstream.trouble[2] = CouldNotConnect("refused")
    assert await stand.ask() == [2, 1]
    stand.table.apply(recorded(5, lost(2)))
    assert await stand.ask() == [1]


async def test_an_exchange_that_is_left_early_is_closed() -> None:
    stand = Stand(1)
    with pytest.raises(ZeroDivisionError):
        async with stand.dispatcher.exchange(stand.table.routes.by_id[1], REQUEST):
            raise ZeroDivisionError
    assert stand.upstream.responses[0].closed
    assert stand.dispatcher.in_flight() == 0
