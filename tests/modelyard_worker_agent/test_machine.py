"""What an agent says of its machine."""

import json
from pathlib import Path

from modelyard_contracts.messages import PathAnswer, PathQuestion
from modelyard_eventlog.questions import Questions
from modelyard_worker_agent_world import WORKER, Machine
from waiting import until


async def test_the_machine_says_that_it_is_ready_and_what_it_has(machine: Machine) -> None:
    machine.start_agent()

    await until(lambda: len(machine.observations) >= 2)

    ready, inventory = machine.observations[:2]
    assert (ready.event_type, inventory.event_type) == ("WorkerReady", "WorkerInventoryChanged")
    assert ready.data["address"] == "127.0.0.1"
    held = inventory.data["inventory"]
    assert isinstance(held, dict)
    assert held["memory_total_bytes"] > 0
    assert "llama.cpp" in held["backends"]


async def test_a_model_is_described_from_its_header(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await until(lambda: bool(machine.seen("WorkerReady")))

    async def look(path: object) -> PathAnswer:
        return await Questions(machine.nc).ask(WORKER, "path", PathQuestion(path=str(path)), PathAnswer)

    here = await look(tiny_model.parent)
    assert here.found
    assert here.file == str(tiny_model)
    assert (here.architecture, here.context_length) == ("llama", 2048)
    assert here.weight_bytes == tiny_model.stat().st_size
    assert here.kv_bytes_per_token == 2 * 64 * 2 * 2
    gone = await look("/nowhere/model.gguf")
    assert not gone.found
    assert "/nowhere/model.gguf" in gone.message
    assert not (await look("/etc/passwd")).found


async def test_heartbeats_come(machine: Machine) -> None:
    heard = await machine.nc.subscribe(f"hb.{WORKER}", max_msgs=2)
    machine.start_agent()

    assert json.loads((await heard.next_msg(timeout=10)).data)["worker_id"] == WORKER


async def test_a_second_agent_on_the_same_directory_ends_with_one_sentence(machine: Machine) -> None:
    first = machine.start_agent()
    await machine.observe("WorkerReady")

    second = machine.start_agent()

    assert second.wait(timeout=20) == 1
    [sentence] = machine.log_of_agent().splitlines()
    assert f"another agent (process {first.pid}) works on {machine.state}" in sentence
    machine.agent = first
    assert machine.end_agent() == 0
    machine.start_agent()
    await until(lambda: len(machine.seen("WorkerReady")) == 2)
