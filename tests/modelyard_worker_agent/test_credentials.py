"""A real agent whose NATS credentials end, with a nats-server that means it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from conftest import free_port
from modelyard_contracts.messages import PathAnswer, PathQuestion
from modelyard_eventlog.connection import connect
from modelyard_eventlog.questions import NoAnswer, Questions
from modelyard_worker_agent.adapters.identity import IdentityFiles
from modelyard_worker_agent_api import Api, GuardedNats, refusing
from modelyard_worker_agent_world import WORKER, Machine, machine_at
from waiting import until


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[GuardedNats]:
    server = GuardedNats(tmp_path)
    server.start()
    await server.wait_until_ready()
    yield server
    server.kill()


@pytest.fixture
async def guarded(nats: GuardedNats, tmp_path: Path) -> AsyncIterator[Machine]:
    """A machine on which nobody has joined yet."""
    client = await connect(nats.service_settings(), name="service")
    async with machine_at(tmp_path, nats.url, client) as machine:
        (machine.state / "joined.json").unlink()
        yield machine
    await client.close()


def joined_before(machine: Machine, nats: GuardedNats, *, for_s: float) -> None:
    files = IdentityFiles(machine.state)
    files.keep(nats.joined(files.identity().public_key, for_s=for_s))


async def answers(machine: Machine) -> bool:
    """Whether the agent is there, asked as the api asks."""
    question = PathQuestion(path="/nowhere.gguf")
    try:
        await Questions(machine.nc).ask(WORKER, "path", question, PathAnswer, timeout_s=1)
    except NoAnswer:
        return False
    return True


async def comes(machine: Machine) -> None:
    async with asyncio.timeout(30):
        while not await answers(machine):
            await asyncio.sleep(0.05)


async def health(port: int) -> tuple[int, str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            answer = await client.get(f"http://127.0.0.1:{port}/healthz")
        except httpx.TransportError:
            return 0, ""
    return answer.status_code, str(answer.json()["message"])


async def health_is(port: int, status: int, words: str) -> None:
    async with asyncio.timeout(30):
        while (found := await health(port))[0] != status or words not in found[1]:
            await asyncio.sleep(0.05)


async def test_an_agent_joins_and_works_with_what_it_was_given(guarded: Machine, nats: GuardedNats) -> None:
    with Api(nats.admitting(for_s=3600)).serving() as api:
        guarded.start_agent(MODELYARD_API=api.url)
        await guarded.observe("WorkerReady")
        await comes(guarded)
    assert len(api.asked) == 1


async def test_a_refused_join_ends_the_agent_with_one_sentence(guarded: Machine) -> None:
    with Api(refusing).serving() as api:
        assert guarded.start_agent(MODELYARD_API=api.url).wait(timeout=20) == 1
    assert guarded.log_of_agent().count("\n") == 1
    assert "the join token is not the right one" in guarded.log_of_agent()


@pytest.mark.parametrize("kept", ["expired", "none"])
async def test_credentials_that_are_no_good_are_renewed_at_once(
    guarded: Machine, nats: GuardedNats, kept: str
) -> None:
    joined_before(guarded, nats, for_s=-5)
    if kept == "none":
        files = IdentityFiles(guarded.state)
        answer = files.joined()
        assert answer is not None
        files.keep(answer.model_copy(update={"nats_jwt": None, "nats_jwt_expires_at": None}))

    with Api(nats.admitting(for_s=3600)).serving() as api:
        guarded.start_agent(MODELYARD_API=api.url)
        await guarded.observe("WorkerReady")
    assert len(api.asked) == 1


async def test_an_agent_outlives_its_credentials_and_says_only_once_that_it_is_ready(
    guarded: Machine, nats: GuardedNats
) -> None:
    joined_before(guarded, nats, for_s=6)
    first = datetime.now(UTC).timestamp() + 3
    with Api(nats.admitting(for_s=3600)).serving() as api:
        guarded.start_agent(MODELYARD_API=api.url)
        await comes(guarded)
        await until(lambda: len(api.asked) > 0 and datetime.now(UTC).timestamp() > first + 1)
        await comes(guarded)
    assert len(api.asked) == 1
    stated = [seen.event_type for seen in guarded.observations]
    assert stated == ["WorkerInventoryChanged", "WorkerReady"]


async def test_while_the_api_is_away_expired_credentials_show_in_health_and_end_with_its_return(
    guarded: Machine, nats: GuardedNats
) -> None:
    joined_before(guarded, nats, for_s=6)
    api, port = Api(nats.admitting(for_s=3600)), free_port()
    guarded.start_agent(MODELYARD_API=api.url, MODELYARD_WORKER_HEALTH_PORT=str(port))
    await health_is(port, 200, "connected")
    await health_is(port, 503, "they expired at")
    await until(lambda: "nats closed the connection" in guarded.log_of_agent())

    with api.serving():
        await health_is(port, 200, "connected")
        await comes(guarded)


async def test_a_refused_renewal_is_logged_shown_in_health_and_tried_again(
    guarded: Machine, nats: GuardedNats
) -> None:
    joined_before(guarded, nats, for_s=4)
    port = free_port()
    with Api(refusing).serving() as api:
        guarded.start_agent(MODELYARD_API=api.url, MODELYARD_WORKER_HEALTH_PORT=str(port))
        await health_is(port, 503, "the join token is not the right one")
        await until(lambda: len(api.asked) == 2)
        assert "credentials are not renewed" in guarded.log_of_agent()

        api.answer = nats.admitting(for_s=3600)
        await health_is(port, 200, "connected")
        await comes(guarded)


async def test_a_machine_that_became_another_worker_starts_anew(guarded: Machine, nats: GuardedNats) -> None:
    joined_before(guarded, nats, for_s=-5)
    with Api(nats.admitting(for_s=3600, worker_id=WORKER + 1)).serving() as api:
        agent = guarded.start_agent(MODELYARD_API=api.url)
        assert agent.wait(timeout=20) == 1
        assert "the api knows this machine as worker 4, it was worker 3" in guarded.log_of_agent()

        guarded.start_agent(MODELYARD_API=api.url)
        assert (await guarded.observe("WorkerReady"))["worker_id"] == WORKER + 1


async def test_a_busy_health_port_is_named(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert machine.start_agent(MODELYARD_WORKER_HEALTH_PORT=port).wait(timeout=20) == 2
    assert f"--worker-health-port: cannot listen on {port}" in machine.log_of_agent()
