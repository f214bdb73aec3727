"""How a real agent tells that a model server failed."""

import os
import signal
from pathlib import Path

from modelyard_worker_agent.adapters.run_files import RunFiles
from modelyard_worker_agent_world import Machine, is_gone, servers_below, spec_of, want
from waiting import until


def seen_healthy_s(attempt: Path) -> float:
    stretch = RunFiles(attempt.parents[1]).healthy(attempt)
    return stretch.seconds if stretch else 0.0


async def test_a_killed_model_server_is_reported_with_its_signal(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    attempt = machine.state / "instances/17/0"
    await until(lambda: seen_healthy_s(attempt) > 0)

    os.kill(running["pid"], signal.SIGKILL)

    failed = await machine.observe("InstanceFailed", seconds=2)
    assert (failed["cause"], failed["signal"], failed["attempt"]) == ("killed", 9, 0)
    assert failed["last_lines"]
    assert failed["healthy_s"] > 0
    assert not servers_below(machine.state)


async def test_a_failed_start_is_not_repeated_until_a_later_attempt_is_wanted(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    os.kill(running["pid"], signal.SIGKILL)
    await machine.observe("InstanceFailed")

    await machine.wish(want(spec_of(tiny_model), attempt=1))

    again = await machine.observe("InstanceRunning", attempt=1)
    assert again["pid"] != running["pid"]
    kinds = [
        (seen.event_type, seen.data["attempt"]) for seen in machine.observations if "attempt" in seen.data
    ]
    assert kinds == [
        ("InstanceStarting", 0),
        ("InstanceRunning", 0),
        ("InstanceFailed", 0),
        ("InstanceStarting", 1),
        ("InstanceRunning", 1),
    ]


async def test_a_hung_server_fails_as_unresponsive_and_is_ended(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")

    os.kill(running["pid"], signal.SIGSTOP)

    failed = await machine.observe("InstanceFailed", seconds=30)
    assert failed["cause"] == "unresponsive"
    assert is_gone(running["pid"])


async def test_a_server_that_pauses_leaves_routing_and_comes_back(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent(MODELYARD_LIVENESS_FAILURES="100000")
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    os.kill(running["pid"], signal.SIGSTOP)
    assert "did not answer" in (await machine.observe("InstanceUnready"))["message"]
    machine.end_agent(signal.SIGKILL)
    machine.start_agent(MODELYARD_LIVENESS_FAILURES="100000")
    await until(lambda: len(machine.seen("WorkerReady")) == 2)

    os.kill(running["pid"], signal.SIGCONT)

    await until(lambda: len(machine.seen("InstanceRunning")) == 2)
    assert machine.story() == ["InstanceStarting", "InstanceRunning", "InstanceUnready", "InstanceRunning"]


async def test_a_server_that_never_answers_fails_at_its_deadline(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent(MODELYARD_START_TIMEOUT_S="0.01")
    await machine.wish(want(spec_of(tiny_model)))

    failed = await machine.observe("InstanceFailed")

    assert failed["cause"] == "start_timeout"
    assert not servers_below(machine.state)


async def test_a_model_that_is_not_here_fails_with_its_path(machine: Machine) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of("/nowhere/model.gguf")))

    failed = await machine.observe("InstanceFailed")

    assert failed["cause"] == "model_not_found"
    assert "/nowhere/model.gguf" in failed["message"]


async def test_an_unknown_flag_fails_as_a_bad_argument_that_names_it(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model, "--no-such-flag=1")))

    failed = await machine.observe("InstanceFailed")

    assert (failed["cause"], failed["exit_code"]) == ("bad_argument", 2)
    assert "--no-such-flag" in failed["message"]


async def test_a_damaged_model_fails_as_unsupported(
    machine: Machine, tiny_model: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(tiny_model.read_bytes()[:9000])
    machine.start_agent()
    await machine.wish(want(spec_of(damaged)))

    failed = await machine.observe("InstanceFailed")

    assert failed["cause"] == "unsupported_model"
