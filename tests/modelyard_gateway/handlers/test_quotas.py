"""Limits on keys, users and routes: of one gateway, and of several that tell each other."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from modelyard_contracts.access import RateLimits
from modelyard_contracts.events import ApiKeyLimitsChanged, RouteLimitsChanged, UserLimitsChanged
from modelyard_eventlog.provision import provision
from modelyard_eventlog.quotas import QuotaStream
from modelyard_gateway.domain.record import Record
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.table import RoutingTable
from modelyard_gateway.handlers.quota_sharing import share
from modelyard_gateway.handlers.quotas import Quotas
from modelyard_gateway_facts import created_key, fold, route
from modelyard_gateway_world import ModelServer, Seen, World, a_key, echo, error_of, read_body
from modelyard_runtime import keys
from nats.aio.client import Client
from starlette.types import Receive, Send
from waiting import until

NOON = 1_767_268_800.0
TOKENS = json.dumps({"usage": {"prompt_tokens": 6, "completion_tokens": 4}}).encode()


async def takes_ten_tokens(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
    await read_body(seen, receive)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(TOKENS))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": TOKENS})


async def waits(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
    await server.go_on.wait()
    await echo(server, seen, receive, send)


async def test_a_key_has_its_requests_a_minute_and_others_have_theirs(
    world: World, tiny: ModelServer
) -> None:
    await world.happen(ApiKeyLimitsChanged(key_id=1, user_id=1, limits=RateLimits(requests_per_minute=3)))
    told = [(await world.chat()).headers["x-ratelimit-remaining-requests"] for _ in range(3)]
    assert told == ["2", "1", "0"]
    refused = await world.chat()
    assert (refused.status_code, error_of(refused)["code"]) == (429, "rate_limit_exceeded")
    assert "3 requests a minute" in error_of(refused)["message"]
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-ratelimit-limit-requests"] == "3"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    anthropic = await world.client.post("/v1/messages", json={"model": "tiny"})
    assert (anthropic.status_code, anthropic.json()["error"]["type"]) == (429, "rate_limit_error")
    assert len(tiny.seen) == 3

    other = keys.generate()
    await world.happen(a_key(2, other))
    world.client.headers["Authorization"] = f"Bearer {other.text()}"
    free = await world.chat()
    assert (free.status_code, "x-ratelimit-limit-requests" in free.headers) == (200, False)
    assert (await world.chat("unknown")).status_code == 404


async def test_a_route_has_so_many_requests_at_a_time(world: World, tiny: ModelServer) -> None:
    tiny.behave = waits
    await world.happen(RouteLimitsChanged(route_id=42, limits=RateLimits(concurrency=2)))
    running = [asyncio.create_task(world.chat()) for _ in range(2)]
    await until(lambda: len(tiny.seen) == 2)
    refused = await world.chat()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    tiny.go_on.set()
    assert [(await one).status_code for one in running] == [200, 200]
    assert (await world.chat()).status_code == 200
    with contextlib.suppress(TimeoutError):
        tiny.go_on.clear()
        await asyncio.wait_for(world.chat(), 0.2)
    await until(lambda: not world.gateway.balancer.in_flight())
    tiny.go_on.set()
    assert [(await world.chat()).status_code for _ in range(3)] == [200] * 3, "who left is not counted"


async def test_a_users_tokens_count_when_they_are_known(world: World, tiny: ModelServer) -> None:
    tiny.behave = takes_ten_tokens
    await world.happen(
        UserLimitsChanged(user_id=1, limits=RateLimits(tokens_per_minute=15, tokens_per_day=1000))
    )
    answers = [await world.chat() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-tokens"] for answer in answers] == ["15", "5", "0"]
    await world.happen(UserLimitsChanged(user_id=1, limits=RateLimits(tokens_per_day=20)))
    refused = await world.chat()
    assert "20 tokens a day" in error_of(refused)["message"]
    await world.happen(UserLimitsChanged(user_id=1, limits=RateLimits()))
    assert (await world.chat()).status_code == 200


TABLE = fold(
    created_key(1, limits=RateLimits(requests_per_minute=5, tokens_per_day=100)),
    route(4, "tiny"),
    RouteLimitsChanged(route_id=4, limits=RateLimits(concurrency=10)),
)


def admitted(quotas: Quotas, table: RoutingTable = TABLE) -> tuple[object, ...]:
    held, _ = quotas.admit(table.keys.by_access_key["key1"], table.routes.by_id[4])
    return held


@contextlib.asynccontextmanager
async def sharing(nats: Client, process: str) -> AsyncIterator[Quotas]:
    quotas = Quotas(TABLE, process, lambda: NOON)
    task = asyncio.create_task(share(quotas, QuotaStream(nats)))
    try:
        yield quotas
    finally:
        task.cancel()
        await asyncio.wait({task})


def would_come_in(quotas: Quotas) -> bool:
    key, to = TABLE.keys.by_access_key["key1"], TABLE.routes.by_id[4]
    try:
        held, _ = quotas.admit(key, to)
    except Refusal:
        return False
    for one in held:
        one.requests -= 1
        one.recent_requests.add(-1)
        one.in_flight -= 1
    return True


async def test_gateways_share_what_they_let_in_and_newcomers_hear_of_it(own_nats: Client) -> None:
    await provision(own_nats)
    async with sharing(own_nats, "a") as a, sharing(own_nats, "b") as b:
        for _ in range(3):
            admitted(a)
        for _ in range(2):
            admitted(b)
        await until(lambda: not would_come_in(a) and not would_come_in(b))
    async with sharing(own_nats, "c") as c:
        await until(lambda: not would_come_in(c))


def test_nothing_is_counted_for_a_request_that_does_not_come_in_and_idle_ones_are_forgotten() -> None:
    now = [NOON]
    quotas = Quotas(TABLE, "a", lambda: now[0])
    held = [quotas.admit(TABLE.keys.by_access_key["key1"], TABLE.routes.by_id[4])[0] for _ in range(5)]
    with pytest.raises(Refusal):
        admitted(quotas)
    (counts,) = quotas.counts()
    assert (counts.shares["k1"].requests, counts.shares["r4"].in_flight) == (5, 5)
    record = Record(b"r", b"/v1/completions", NOON, 1, 1)
    record.usage = {"prompt_tokens": 3, "completion_tokens": 4}
    for one in held:
        quotas.let_go(one, record)
    (counts,) = quotas.counts()
    assert (counts.shares["k1"].tokens_of_day, counts.shares["r4"].in_flight) == (35, 0)
    now[0] += 2 * 86_400
    assert list(quotas.counts()) == []
    assert would_come_in(quotas)
