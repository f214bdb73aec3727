"""Facts on their way to a real nats-server."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import NatsServer
from modelyard_contracts.events import WorkerReady
from modelyard_contracts.messages import Observation
from modelyard_eventlog.observations import Observations
from modelyard_eventlog.provision import provision
from modelyard_worker_agent.adapters.outbox import Outbox
from nats.aio.client import Client
from nats.aio.msg import Msg
from waiting import until


@pytest.fixture
def box_path(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


def outbox(directory: Path) -> Outbox:
    return Outbox(directory, 7, lambda: datetime.now(UTC))


def say(box: Outbox, *numbers: int) -> None:
    for number in numbers:
        ready = WorkerReady(worker_id=7, address="127.0.0.1", agent_version="1", session=str(number))
        box.say_of_worker(ready, ident=f"obs/7/{number}")


def say_at(box: Outbox, address: str, ident: str) -> None:
    box.say_of_worker(WorkerReady(worker_id=7, address=address, agent_version="1", session="s"), ident=ident)


async def heard_on(nc: Client) -> list[str]:
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(Observation.model_validate_json(message.data).id)

    await nc.subscribe("obs.>", cb=hear)
    return heard


async def sent(directory: Path, nc: Client, heard: list[str], *expected: str) -> None:
    """Sends until nothing waits any more."""
    box = outbox(directory)
    sending = asyncio.create_task(box.send(Observations(nc)))
    await until(lambda: heard == list(expected) and not list(directory.glob("*.json")))
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending


async def test_what_was_said_before_a_restart_goes_first(own_nats: Client, box_path: Path) -> None:
    await provision(own_nats)
    heard = await heard_on(own_nats)
    say(outbox(box_path), 1, 2)
    say(outbox(box_path), 3)
    await sent(box_path, own_nats, heard, "obs/7/1", "obs/7/2", "obs/7/3")
    assert not list(box_path.iterdir())


async def test_one_that_cannot_be_read_is_set_aside_and_holds_up_no_other(
    own_nats: Client, box_path: Path
) -> None:
    await provision(own_nats)
    heard = await heard_on(own_nats)
    say(outbox(box_path), 1, 2, 3)
    damaged = sorted(box_path.iterdir())[1]
    damaged.write_text(damaged.read_text()[:20])
    await sent(box_path, own_nats, heard, "obs/7/1", "obs/7/3")
    assert [path.suffix for path in box_path.iterdir()] == [".unreadable"]


async def test_one_too_large_for_the_server_is_set_aside_with_its_reason(
    own_nats: Client, box_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    await provision(own_nats)
    heard = await heard_on(own_nats)
    box = outbox(box_path)
    say(box, 1)
    say_at(box, "x" * 2_000_000, "obs/7/2")
    say(box, 3)
    await sent(box_path, own_nats, heard, "obs/7/1", "obs/7/3")
    assert [path.name for path in box_path.iterdir()] == ["000000000002.refused"]
    assert "maximum payload exceeded" in "".join(capfd.readouterr())


async def test_one_that_the_stream_refuses_is_set_aside(own_nats: Client, box_path: Path) -> None:
    await provision(own_nats)
    stream = (await own_nats.jetstream().stream_info("OBS")).config
    stream.max_msg_size = 5_000
    await own_nats.jetstream().update_stream(stream)
    box = outbox(box_path)
    say_at(box, "x" * 10_000, "obs/7/1")
    say(box, 2)
    sending = asyncio.create_task(box.send(Observations(own_nats)))
    await until(lambda: [path.name for path in box_path.iterdir()] == ["000000000001.refused"])
    assert (await own_nats.jetstream().stream_info("OBS")).state.messages == 1
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending


async def test_what_another_worker_said_here_is_set_aside(own_nats: Client, box_path: Path) -> None:
    await provision(own_nats)
    heard = await heard_on(own_nats)
    say(Outbox(box_path, 6, lambda: datetime.now(UTC)), 1)
    box = outbox(box_path)
    say(box, 2)
    await sent(box_path, own_nats, heard, "obs/7/2")
    assert [path.suffix for path in box_path.iterdir()] == [".refused"]


def test_the_number_of_one_that_was_set_aside_is_not_used_again(box_path: Path) -> None:
    box_path.mkdir()
    (box_path / "000000000008.refused").touch()
    say(outbox(box_path), 1)
    assert (box_path / "000000000009.json").exists()


async def test_what_cannot_be_sent_waits_for_the_server(
    own_nats_server: NatsServer, own_nats: Client, box_path: Path
) -> None:
    await provision(own_nats)
    heard = await heard_on(own_nats)
    own_nats_server.kill()
    box = outbox(box_path)
    sending = asyncio.create_task(box.send(Observations(own_nats)))
    say(box, 1, 2)
    own_nats_server.start()
    await own_nats_server.wait_until_ready()
    await until(lambda: heard == ["obs/7/1", "obs/7/2"])
    await until(lambda: not list(box_path.iterdir()))
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
