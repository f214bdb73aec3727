"""Only an explicit `absent` ends a model server."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
from modelyard_worker_agent_world import Machine, chat, is_gone, servers_below, spec_of, want
from waiting import until


async def test_only_an_explicit_absent_stops_a_server(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    await machine.nc.jetstream().purge_stream("DESIRED")
    machine.end_agent(signal.SIGKILL)
    machine.start_agent()
    await until(lambda: len(machine.seen("WorkerReady")) == 2)
    assert (await chat(running)).status_code == 200

    await machine.wish(want(spec_of(tiny_model), state="absent"))

    stopped = await machine.observe("InstanceStopped")
    assert (stopped["forced"], stopped["exit_code"]) == (False, 0)
    assert is_gone(running["pid"])
    assert not servers_below(machine.state)


async def test_absent_for_what_never_was_here_is_confirmed(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()

    await machine.wish(want(spec_of(tiny_model), state="absent"))

    assert (await machine.observe("InstanceStopped"))["exit_code"] is None


async def test_absent_right_after_running_was_wanted_leaves_nothing(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent()
    await until(lambda: bool(machine.seen("WorkerReady")))
    for instance in range(20, 28):
        await machine.wish(want(spec_of(tiny_model), instance=instance))
    await until(lambda: bool(servers_below(machine.state)))
    for instance in range(20, 28):
        await machine.wish(want(spec_of(tiny_model), instance=instance, state="absent"))

    for instance in range(20, 28):
        await machine.observe("InstanceStopped", instance=instance)

    assert not servers_below(machine.state)


async def test_a_server_that_ignores_the_request_to_end_is_killed(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent(MODELYARD_STOP_GRACE_S="0.3", MODELYARD_LIVENESS_FAILURES="1000")
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    os.kill(running["pid"], signal.SIGSTOP)

    await machine.wish(want(spec_of(tiny_model), state="absent"))

    assert (await machine.observe("InstanceStopped"))["forced"] is True
    assert is_gone(running["pid"])


async def test_what_is_being_answered_is_answered_to_the_end(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    body = {"prompt": "on and on", "max_tokens": 150, "stream": True, "ignore_eos": True}
    url = f"http://{running['host']}:{running['port']}/v1/completions"
    async with (
        httpx.AsyncClient(timeout=30, trust_env=False) as client,
        client.stream("POST", url, json=body) as response,
    ):
        lines = response.aiter_lines()
        await anext(lines)
        await machine.wish(want(spec_of(tiny_model), state="absent"))
        rest = [line async for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert not machine.seen("InstanceStopped")

    assert (await machine.observe("InstanceStopped"))["forced"] is False


async def test_who_does_not_end_is_cut_off_at_the_deadline(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent(MODELYARD_DRAIN_S="0.5")
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")
    _, writer = await asyncio.open_connection(running["host"], running["port"])

    await machine.wish(want(spec_of(tiny_model), state="absent"))

    await machine.observe("InstanceStopped")
    assert "cut off at the deadline" in machine.log_of_agent()
    writer.close()
