"""One instance on two workers: two real agents, a real scheduler, parts that really need each other."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import NatsServer
from modelyard_worker_agent_group import GROUP_SERVER, Group, group_at
from modelyard_worker_agent_world import chat, is_gone
from nats.aio.client import Client
from waiting import until

MP = "--distributed-executor-backend=mp"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return tmp_path / "model"


@pytest.fixture
def programs(tmp_path: Path) -> str:
    program = tmp_path / "vllm"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {GROUP_SERVER} "$@"\n')
    program.chmod(0o755)
    return json.dumps({"vLLM": str(program)})


@pytest.fixture
async def group(
    own_nats_server: NatsServer, own_nats: Client, tmp_path: Path, programs: str
) -> AsyncIterator[Group]:
    async with group_at(tmp_path, own_nats_server.url, own_nats, programs) as made:
        yield made


def all_gone(group: Group) -> bool:
    return not group.servers(0) and not group.servers(1)


async def test_it_starts_in_order_serves_restarts_once_for_a_dead_or_a_stuck_member_and_stops_whole(
    group: Group, model: Path
) -> None:
    await group.is_placed(model, MP)
    running = await group.fact("InstanceRunning")

    assert [fact.type for fact in await group.story()][2:] == [
        *("InstanceMemberPrepared", "InstanceMemberPrepared"),
        *("InstanceStarting", "InstanceMemberStarted", "InstanceRunning"),
    ]
    prepared = {fact.data.worker_id: fact.data for fact in await group.story() if "Prepared" in fact.type}
    assert [prepared[worker].address for worker in (3, 4)] == ["127.0.0.2", "127.0.0.3"]
    assert {one.interface for one in prepared.values()} == {"lo"}
    assert (len(prepared[3].ports), prepared[4].ports) == (2, ())
    assert running.worker_id == 3
    assert (await chat(running.model_dump())).status_code == 200
    started = await group.fact("InstanceMemberStarted")
    assert {"--headless", "--node-rank"} <= set(started.command)

    [member] = group.servers(1)
    member.send_signal(signal.SIGKILL)
    failed = await group.fact("InstanceFailed")
    assert (failed.worker_id, failed.signal, failed.message) == (
        *(4, signal.SIGKILL),
        "on w4 (rank 1 of 2): it was killed (SIGKILL)",
    )
    again = await group.fact("InstanceRunning", count=2)
    assert again.attempt == 1
    assert is_gone(running.pid)
    assert (await chat(again.model_dump())).status_code == 200
    assert [fact.type for fact in await group.story()].count("InstanceFailed") == 1
    assert (len(group.servers(0)), len(group.servers(1))) == (1, 1)

    [member] = group.servers(1)
    member.send_signal(signal.SIGSTOP)
    stuck = await group.fact("InstanceFailed", count=2)
    assert (stuck.worker_id, stuck.cause) == (4, "unresponsive")
    assert stuck.message.startswith("on w4 (rank 1 of 2): one of its processes was stopped")
    await group.fact("InstanceRunning", count=3)
    assert (len(group.servers(0)), len(group.servers(1))) == (1, 1)

    await group.deletes()
    await group.fact("InstanceRemoved")
    assert all_gone(group)
    assert [fact.type for fact in await group.story()][-3:] == [
        *("InstanceStopped", "InstanceStopped", "InstanceRemoved"),
    ]


async def test_nothing_starts_while_one_worker_is_not_prepared(
    own_nats_server: NatsServer, own_nats: Client, tmp_path: Path, programs: str, model: Path
) -> None:
    async with group_at(tmp_path, own_nats_server.url, own_nats, programs, started=(0,)) as group:
        await group.is_placed(model, MP)
        prepared = await group.fact("InstanceMemberPrepared")
        with pytest.raises(OSError, match="in use"), socket.socket() as taken:
            taken.bind((prepared.address, prepared.ports[0]))
        assert [fact.type for fact in await group.story()][-1] == "InstanceMemberPrepared"

        group.start_agent(1, MODELYARD_WORKER_ADDRESS="192.0.2.1")

        failed = await group.fact("InstanceFailed")
        assert failed.message.startswith("on w4 (rank 1 of 2): the address of this worker, 192.0.2.1")
        assert all_gone(group)


async def test_agents_that_are_killed_anywhere_leave_one_whole_group_or_none(
    group: Group, model: Path
) -> None:
    await group.is_placed(model, MP)
    for number, seconds in ((0, 0.7), (1, 1.4)):
        await asyncio.sleep(seconds)
        group.machines[number].end_agent(signal.SIGKILL)
        group.start_agent(number)

    running = await group.fact("InstanceRunning", seconds=120)
    await until(lambda: (len(group.servers(0)), len(group.servers(1))) == (1, 1), 60)
    assert (await chat(running.model_dump())).status_code == 200

    await group.deletes()
    group.machines[1].end_agent(signal.SIGKILL)
    group.start_agent(1)
    await group.fact("InstanceRemoved", seconds=120)
    assert all_gone(group)
