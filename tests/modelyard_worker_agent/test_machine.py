"""What an agent says of its machine."""

import json
from pathlib import Path

import psutil
from fake_nvml import GIB, FakeNvml, Gpu
from modelyard_contracts.messages import Heartbeat, PathAnswer, PathQuestion
from modelyard_contracts.telemetry import Telemetry
from modelyard_eventlog.questions import Questions
from modelyard_worker_agent_world import WORKER, Machine, spec_of, want
from waiting import until


async def test_the_machine_says_what_it_has_and_then_that_it_is_ready(machine: Machine) -> None:
    machine.start_agent()

    await until(lambda: len(machine.observations) >= 2)

    inventory, ready = machine.observations[:2]
    assert (inventory.event_type, ready.event_type) == ("WorkerInventoryChanged", "WorkerReady")
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


async def test_devices_are_facts_when_they_change(machine: Machine, fake_nvml: FakeNvml) -> None:
    fake_nvml.say([Gpu("GPU-a")])
    machine.start_agent(MODELYARD_INVENTORY_S="0.1", MODELYARD_TELEMETRY_S="0.1", **fake_nvml.environment())
    [device] = (await machine.observe("WorkerInventoryChanged"))["inventory"]["gpu_devices"]
    assert (device["type"], device["uuid"], device["memory_total_bytes"]) == ("cuda", "GPU-a", 80 * GIB)

    heard = await machine.nc.subscribe(f"hb.{WORKER}")
    fake_nvml.say([Gpu("GPU-a", used=GIB, busy=99)])
    while b'"utilization_percent":99' not in (await heard.next_msg(timeout=10)).data:
        pass
    fake_nvml.say([Gpu("GPU-a", used=GIB, busy=99), Gpu("GPU-b")])

    await until(lambda: len(machine.seen("WorkerInventoryChanged")) == 2)
    changed = machine.seen("WorkerInventoryChanged")[1]["inventory"]["gpu_devices"]
    assert [device["uuid"] for device in changed] == ["GPU-a", "GPU-b"]


async def test_heartbeats_tell_how_busy_devices_are_and_what_on_them_is_not_ours(
    machine: Machine, fake_nvml: FakeNvml, tiny_model: Path
) -> None:
    fake_nvml.say([])
    machine.start_agent(MODELYARD_TELEMETRY_S="0.1", **fake_nvml.environment())
    heard = await machine.nc.subscribe(f"hb.{WORKER}")
    await machine.wish(want(spec_of(tiny_model)))
    ours = (await machine.observe("InstanceRunning"))["pid"]
    other = psutil.Process().pid
    held = [f"process {ours} {4 * GIB}", f"process {other} {GIB}"]

    fake_nvml.say([Gpu("GPU-a", used=6 * GIB, busy=50, lines=held)])

    async def told() -> Telemetry:
        while True:
            beat = Heartbeat.model_validate_json((await heard.next_msg(timeout=10)).data)
            if beat.telemetry is not None and beat.telemetry.devices:
                return beat.telemetry

    [use] = (await told()).devices
    assert (use.device, use.memory_used_bytes, use.utilization_percent) == ("cuda:0", 6 * GIB, 50.0)
    assert use.foreign_bytes == GIB
    assert [process.pid for process in use.foreign] == [other]
    assert len(machine.seen("WorkerInventoryChanged")) == 1
