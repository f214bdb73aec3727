"""A real agent while its nats-server is away."""

import os
import signal
from pathlib import Path

from conftest import NatsServer
from modelyard_worker_agent_world import Machine, chat, is_gone, spec_of, want
from waiting import until


async def test_while_nats_is_down_nothing_is_lost(
    machine: Machine, own_nats_server: NatsServer, tiny_model: Path
) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    own_nats_server.kill()

    os.kill(running["pid"], signal.SIGKILL)
    outbox = machine.state / "outbox"
    await until(lambda: any("InstanceFailed" in path.read_text() for path in outbox.glob("*.json")))
    machine.end_agent(signal.SIGKILL)
    own_nats_server.start()
    await own_nats_server.wait_until_ready()
    await until(lambda: machine.nc.is_connected)
    machine.observations.clear()
    await machine.listen()
    machine.start_agent()

    failed = await machine.observe("InstanceFailed")
    assert failed["signal"] == 9
    # the listener from before the restart hears the last of it too, so the two are mixed
    assert set(machine.story()) == {"InstanceStarting", "InstanceRunning", "InstanceFailed"}


async def test_a_server_goes_on_while_nats_is_away_and_hears_what_was_wanted_meanwhile(
    machine: Machine, own_nats_server: NatsServer, tiny_model: Path
) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")

    own_nats_server.kill()
    assert (await chat(running)).status_code == 200
    own_nats_server.start()
    await own_nats_server.wait_until_ready()
    await until(lambda: machine.nc.is_connected)
    await machine.wish(want(spec_of(tiny_model), state="absent"))
    await machine.listen()

    await machine.observe("InstanceStopped")
    assert is_gone(running["pid"])
