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


async def heard_on(nc: Client) -> list[str]:
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(Observation.model_validate_json(message.data).id)

    await nc.subscribe("obs.>", cb=hear)
    return heard


async def sent(box: Outbox, nc: Client, heard: list[str], *expected: str) -> None:
    sending = asyncio.create_task(box.send(Observations(nc)))
    await until(lambda: heard == list(expected))
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending


async def test_what_was_said_before_a_restart_goes_first(own_nats: Client, box_path: Path) -> None:
    await provision(own_nats)
    heard = await heard_on(own_nats)
    say(outbox(box_path), 1, 2)
    again = outbox(box_path)
    say(again, 3)
    await sent(again, own_nats, heard, "obs/7/1", "obs/7/2", "obs/7/3")
    await until(lambda: not list(box_path.iterdir()))


async def test_one_that_cannot_be_read_is_set_aside_and_holds_up_no_other(
    own_nats: Client, box_path: Path
) -> None:
    await provision(own_nats)
    heard = await heard_on(own_nats)
    say(outbox(box_path), 1, 2, 3)
    damaged = sorted(box_path.iterdir())[1]
    damaged.write_text(damaged.read_text()[:20])
    await sent(outbox(box_path), own_nats, heard, "obs/7/1", "obs/7/3")
    await until(lambda: [path.suffix for path in box_path.iterdir()] == [".unreadable"])


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
