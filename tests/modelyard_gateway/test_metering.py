"""What is counted, with a real model server and a real NATS server, while the gateway is killed."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import httpx
import nats
import pytest
from conftest import NatsServer
from modelyard_contracts.usage import Basis, Metered, unpacked
from modelyard_eventlog.usage import UsageStream
from modelyard_gateway.adapters.spool import Spool, forget_abandoned
from modelyard_gateway_facts import route, running
from modelyard_gateway_process import GatewayProcess, gateway, happen
from modelyard_gateway_world import a_key
from served_llama_cpp import llama_cpp_server

MADE = 12
"""Tokens of every answer."""
READ = 40
"""More than any request has."""


@pytest.fixture(scope="module")
async def llama_cpp(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    async with llama_cpp_server(tmp_path_factory.mktemp("llama")) as port:
        yield port


async def totals(port: int) -> tuple[int, int]:
    """What the model server has counted once it is idle: prompt tokens, and tokens made."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        async with asyncio.timeout(20):
            while _figure(said := (await client.get("/metrics")).text, "requests_processing"):
                await asyncio.sleep(0.05)
    return _figure(said, "prompt_tokens_total"), _figure(said, "tokens_predicted_total")


def _figure(text: str, name: str) -> int:
    found = re.search(rf"^llamacpp:{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, text
    return int(float(found[1]))


async def ask(process: GatewayProcess, number: int, seen: set[str]) -> None:
    """Adds the request's id to `seen` once all of its answer has come."""
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": f"hello {number}"}],
        "max_tokens": MADE,
        "cache_prompt": False,
        "ignore_eos": True,
        "stream": number % 2 == 0,
    }
    with contextlib.suppress(httpx.TransportError):
        answer = await process.client.post("/v1/chat/completions", json=body)
        if answer.status_code == 502:
            return  # llama.cpp closes kept connections at its own time
        assert answer.status_code == 200, answer.text
        assert ('"usage":{' in answer.text) is not body["stream"]
        seen.add(answer.headers["x-request-id"])


async def delivered(nats_url: str) -> dict[tuple[str, int], Metered]:
    """Everything in the stream, once."""
    found: dict[tuple[str, int], Metered] = {}
    async with await nats.connect(nats_url, pending_size=0) as client:
        last = (await client.jetstream().stream_info("USAGE")).state.last_seq
        async for messages in UsageStream(client).follow(0):
            for message in messages:
                for metered in unpacked(message.entries):
                    found[message.process, metered.number] = metered
            if messages[-1].seq >= last:
                break
    return found


async def test_the_sum_is_what_the_model_server_counted_though_the_gateway_is_killed(
    own_nats_server: NatsServer, llama_cpp: int, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    before = await totals(llama_cpp)
    seen: set[str] = set()
    chance = Random(7)
    flags = ("--usage-spool", str(spool))
    for number in range(5):
        async with gateway(own_nats_server.url, *flags) as process:
            await happen(
                own_nats_server.url, a_key(1 + number), route(1, "tiny"), running(10, port=llama_cpp)
            )
            await process.until_status(200)
            await process.until_status(200, "/v1/models/tiny")
            asked = [asyncio.create_task(ask(process, n, seen)) for n in range(10)]
            until = chance.uniform(0, 0.2) if number < 4 else None
            await asyncio.wait(asked, timeout=until)
            process.process.kill()
            await process.process.wait()
            await asyncio.gather(*asked)
    server = await totals(llama_cpp)

    async with gateway(own_nats_server.url, *flags) as process:
        await process.until_status(200)
        async with asyncio.timeout(20):
            while len(list(spool.iterdir())) > 1:
                await asyncio.sleep(0.05)
        process.process.terminate()
        assert await process.end() == 0
    assert list(spool.iterdir()) == [], "nothing is left to deliver"

    metered = list((await delivered(own_nats_server.url)).values())
    counted = [one for one in metered if one.basis is Basis.COUNTED]
    open_ended = [one for one in metered if one.basis is Basis.IN_FLIGHT or one.code == "instance_failed"]
    assert len(counted) + len(open_ended) == len(metered)
    assert len({one.request_id for one in metered}) == len(metered), "each is there once"
    assert seen <= {one.request_id for one in counted}, "who got an answer was counted"
    assert {one.tokens_out for one in counted} == {MADE}
    assert all((one.key_id, one.route_id, one.instance_id) != (0, 0, 0) for one in metered)
    made = server[1] - before[1] - sum(one.tokens_out for one in counted)
    read = server[0] - before[0] - sum(one.tokens_in for one in counted)
    assert 0 <= made <= MADE * len(open_ended), (made, read, len(open_ended))
    assert 0 <= read <= READ * len(open_ended), (made, read, len(open_ended))
    assert len(seen) >= 10


def test_a_temporary_spool_of_a_killed_process_is_removed_by_the_next_and_no_other(tmp_path: Path) -> None:
    left, held, other = tmp_path / "spool-1", tmp_path / "spool-2", tmp_path / "mine"
    Spool(left, "a").close(keep=True)
    running = Spool(held, "b")
    other.mkdir()
    forget_abandoned(tmp_path, "spool-")
    assert sorted(tmp_path.iterdir()) == [other, held]
    running.close(keep=False)
