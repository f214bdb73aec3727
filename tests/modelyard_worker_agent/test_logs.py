"""Logs of model servers, asked for as the api asks."""

import os
import signal
from pathlib import Path

from modelyard_worker_agent_world import Machine, spec_of, want


async def test_logs_are_there_during_and_after(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    await machine.observe("InstanceRunning")

    live = await machine.log()
    assert live.found
    assert "listening on" in live.text
    assert not live.ended
    tail = await machine.log(tail=1)
    assert tail.text.count("\n") <= 1
    assert tail.next_offset == live.next_offset

    await machine.wish(want(spec_of(tiny_model), state="absent"))
    more = await machine.log(offset=live.next_offset, wait_s=20)
    assert more.text or more.ended
    await machine.observe("InstanceStopped")
    after = await machine.log()
    assert after.text.startswith(live.text)
    assert after.ended
    assert not (await machine.log(instance=99)).found


async def test_the_log_of_an_earlier_start_has_ended_once_it_ended(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    os.kill(running["pid"], signal.SIGKILL)
    await machine.observe("InstanceFailed")
    await machine.wish(want(spec_of(tiny_model), attempt=1))
    await machine.observe("InstanceRunning", attempt=1)

    assert (await machine.log(attempt=0)).ended
    assert not (await machine.log(attempt=1)).ended
    assert (await machine.log()).attempt == 1
