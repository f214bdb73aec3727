"""kill -9 of the agent at any moment of a start or a stop: afterwards nothing is leaked or wrongly killed."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from fake_nvml import GIB, FakeNvml, Gpu
from modelyard_contracts.deployments import Claim
from modelyard_worker_agent_world import Machine, chat, is_gone, servers_below, spec_of, want
from waiting import until

BYSTANDER = 40
CLAIM = Claim(vram_bytes={"cuda:0": 7 * GIB})


async def killed_after(machine: Machine, seconds: float) -> None:
    await asyncio.sleep(seconds)
    machine.end_agent(signal.SIGKILL)


@pytest.mark.parametrize("seed", range(6))
async def test_a_start_that_is_cut_off_anywhere_is_finished_or_begun_anew(
    machine: Machine, tiny_model: Path, seed: int
) -> None:
    chance = random.Random(seed)
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model), instance=BYSTANDER))
    bystander = await machine.observe("InstanceRunning", instance=BYSTANDER)
    await machine.wish(want(spec_of(tiny_model)))
    for _ in range(4):
        await killed_after(machine, chance.uniform(0.0, 0.6))
        machine.start_agent()

    def settled(attempt: int) -> bool:
        failed = machine.seen("InstanceFailed", attempt=attempt)
        return bool(failed or machine.seen("InstanceRunning"))

    for attempt in range(5):
        await until(partial(settled, attempt), 30)
        if machine.seen("InstanceRunning"):
            break
        await machine.wish(want(spec_of(tiny_model), attempt=attempt + 1))

    running = machine.seen("InstanceRunning")[-1]
    assert (await chat(running)).status_code == 200
    starts = [data["attempt"] for data in machine.seen("InstanceStarting")]
    assert running["attempt"] in starts
    assert (await chat(bystander)).status_code == 200
    own = [process for process in servers_below(machine.state) if process.pid == running["pid"]]
    assert len(own) == 1
    assert len(servers_below(machine.state)) == 4  # a shim and a server each


@pytest.mark.parametrize("seed", range(6))
async def test_a_stop_that_is_cut_off_anywhere_is_finished(
    machine: Machine, tiny_model: Path, seed: int
) -> None:
    chance = random.Random(100 + seed)
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model), instance=BYSTANDER))
    bystander = await machine.observe("InstanceRunning", instance=BYSTANDER)
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    await machine.wish(want(spec_of(tiny_model), state="absent"))
    for _ in range(3):
        await killed_after(machine, chance.uniform(0.0, 0.8))
        machine.start_agent()

    await machine.observe("InstanceStopped", seconds=30)

    assert is_gone(running["pid"])
    assert (await chat(bystander)).status_code == 200
    assert len(servers_below(machine.state)) == 2


async def test_it_is_stopped_once_its_memory_is_seen_back(
    machine: Machine, fake_nvml: FakeNvml, tiny_model: Path
) -> None:
    fake_nvml.say([Gpu("GPU-a", used=GIB)])
    machine.start_agent(MODELYARD_VRAM_BACK_S="60", **fake_nvml.environment())
    wanted = want(spec_of(tiny_model)).model_copy(update={"claim": CLAIM})
    await machine.wish(wanted)
    running = await machine.observe("InstanceRunning")
    fake_nvml.say([Gpu("GPU-a", used=8 * GIB, lines=[f"process {running['pid']} {7 * GIB}"])])

    await machine.wish(wanted.model_copy(update={"state": "absent"}))
    await until(lambda: is_gone(running["pid"]))
    await until(lambda: "waits for its memory" in machine.log_of_agent())
    assert not machine.seen("InstanceStopped")
    fake_nvml.say([Gpu("GPU-a", used=GIB)])

    await machine.observe("InstanceStopped")


async def test_memory_that_does_not_come_back_is_said_and_waited_for_no_longer(
    machine: Machine, fake_nvml: FakeNvml, tiny_model: Path
) -> None:
    machine.start_agent(MODELYARD_VRAM_BACK_S="0.5", **fake_nvml.environment())
    fake_nvml.say([Gpu("GPU-a", used=8 * GIB)])
    wanted = want(spec_of(tiny_model)).model_copy(update={"claim": CLAIM})
    await machine.wish(wanted)
    running = await machine.observe("InstanceRunning")
    fake_nvml.say([Gpu("GPU-a", used=8 * GIB, lines=[f"process {running['pid']} {7 * GIB}"])])

    await machine.wish(wanted.model_copy(update={"state": "absent"}))

    await machine.observe("InstanceStopped")
    assert "memory of its devices has not come back" in machine.log_of_agent()


async def test_what_runs_and_is_not_wanted_is_ended(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model), instance=BYSTANDER))
    bystander = await machine.observe("InstanceRunning", instance=BYSTANDER)
    instances = machine.state / "instances"
    (instances / "99" / "0").mkdir(parents=True)
    sleeper = [sys.executable, "-c", "import time; time.sleep(1000)"]
    agent = json.loads((machine.state / "identity.json").read_text())["worker_uuid"]
    own, elsewhere = instances / "99" / "0", machine.state.parent / "elsewhere" / "99" / "0"

    stray, *others = [
        subprocess.Popen(
            sleeper, env={**os.environ, "MODELYARD_RUN": str(directory), "MODELYARD_AGENT": whose}
        )
        for directory, whose in ((own, agent), (elsewhere, agent), (own, "another"))
    ]

    await until(lambda: stray.poll() is not None)
    assert stray.returncode == -signal.SIGKILL
    for other in others:
        assert other.poll() is None
        other.kill()
        other.wait()
    assert (await chat(bystander)).status_code == 200
