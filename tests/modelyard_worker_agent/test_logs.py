"""Logs of model servers, asked for as the api asks."""

import os
import signal
import time
from pathlib import Path

from modelyard_eventlog.desired import DesiredState
from modelyard_worker_agent_world import WORKER, Machine, chat, spec_of, want
from waiting import until


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


async def test_logs_of_a_removed_instance_go_after_their_time_and_no_others(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent()
    for instance in (17, 18, 19, 20):
        await machine.wish(want(spec_of(tiny_model), instance=instance))
        await machine.observe("InstanceRunning", instance=instance)
    for instance in (17, 18):
        await machine.wish(want(spec_of(tiny_model), instance=instance, state="absent"))
        await machine.observe("InstanceStopped", instance=instance)
        await DesiredState(machine.nc).forget(WORKER, instance)
    os.kill(machine.seen("InstanceRunning", instance=19)[0]["pid"], signal.SIGKILL)
    await machine.observe("InstanceFailed", instance=19)
    machine.end_agent()
    month_ago = time.time() - 30 * 24 * 3600
    for instance in (17, 19, 20):
        os.utime(machine.state / "instances" / str(instance), (month_ago, month_ago))

    machine.start_agent()

    await until(lambda: not list((machine.state / "instances").glob("17*")))
    await until(lambda: len(machine.seen("WorkerReady")) == 2)
    assert not (await machine.log(instance=17)).found
    for instance in (18, 19, 20):
        assert "listening on" in (await machine.log(instance=instance)).text


async def test_a_server_whose_want_was_lost_keeps_its_log(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.observe("WorkerReady")
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    machine.end_agent()
    await machine.nc.jetstream().purge_stream("DESIRED")
    instances = machine.state / "instances"
    (instances / "17" / "want.json").unlink()
    (instances / "18").mkdir()

    machine.start_agent(MODELYARD_REMOVED_LOGS_KEPT_S="0")

    await until(lambda: not list(instances.glob("18*")))
    await until(lambda: len(machine.seen("WorkerReady")) == 2)
    assert "listening on" in (await machine.log()).text
    assert (await chat(running)).status_code == 200
