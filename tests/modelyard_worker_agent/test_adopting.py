"""What an agent does with the model servers of the one before it."""

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from modelyard_worker_agent_world import Machine, chat, is_gone, servers_below, spec_of, want
from waiting import until


async def test_a_new_agent_adopts_what_the_killed_one_left_running(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    machine.end_agent(signal.SIGKILL)
    assert (await chat(running)).status_code == 200

    machine.start_agent()
    await until(lambda: len(machine.seen("WorkerReady")) == 2)
    await machine.wish(want(spec_of(tiny_model), instance=18))
    await machine.observe("InstanceRunning", instance=18)

    assert (await chat(running)).status_code == 200
    assert machine.story() == ["InstanceStarting", "InstanceRunning"]
    os.kill(running["pid"], signal.SIGKILL)
    failed = await machine.observe("InstanceFailed")
    assert (failed["cause"], failed["signal"]) == ("killed", 9)


async def test_an_end_that_no_agent_saw_is_told_by_the_next_one(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    machine.end_agent(signal.SIGKILL)
    os.kill(running["pid"], signal.SIGSEGV)
    await until(lambda: not servers_below(machine.state))
    machine.start_agent()

    failed = await machine.observe("InstanceFailed")
    assert (failed["cause"], failed["signal"]) == ("crashed", signal.SIGSEGV)


async def test_health_counts_only_as_long_as_an_agent_saw_it(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    machine.end_agent(signal.SIGKILL)
    [kept] = (machine.state / "instances").rglob("running.json")
    since = datetime(2026, 1, 1, tzinfo=UTC)
    kept.write_text(f'{{"since": "{since.isoformat()}"}}')
    os.utime(kept, (since.timestamp() + 10, since.timestamp() + 10))
    os.kill(running["pid"], signal.SIGKILL)
    await until(lambda: not servers_below(machine.state))

    machine.start_agent()

    assert (await machine.observe("InstanceFailed"))["healthy_s"] == 10


async def test_a_shim_killed_while_no_agent_looks_leaves_no_orphan(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    machine.end_agent(signal.SIGKILL)
    os.kill(psutil.Process(running["pid"]).ppid(), signal.SIGKILL)

    machine.start_agent()

    failed = await machine.observe("InstanceFailed")
    assert failed["cause"] == "killed"
    assert is_gone(running["pid"])


async def test_a_shim_killed_under_the_agent_takes_its_server_along(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")

    os.kill(psutil.Process(running["pid"]).ppid(), signal.SIGKILL)

    failed = await machine.observe("InstanceFailed")
    assert failed["cause"] == "killed"
    assert is_gone(running["pid"])


@pytest.mark.parametrize("stop_servers", [False, True])
async def test_a_clean_shutdown_leaves_servers_running_unless_told_otherwise(
    machine: Machine, tiny_model: Path, stop_servers: bool
) -> None:
    machine.start_agent(MODELYARD_STOP_MODELS_ON_EXIT=str(stop_servers).lower())
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")

    assert machine.end_agent() == 0

    assert is_gone(running["pid"]) is stop_servers


async def test_after_a_shutdown_that_stopped_servers_the_next_agent_says_why_they_ended(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent(MODELYARD_STOP_MODELS_ON_EXIT="true")
    await machine.wish(want(spec_of(tiny_model)))
    await machine.observe("InstanceRunning")
    machine.end_agent()

    machine.start_agent()

    assert (await machine.observe("InstanceFailed"))["cause"] == "worker_stopped"
    await machine.wish(want(spec_of(tiny_model), attempt=1))
    await machine.observe("InstanceRunning", attempt=1)
