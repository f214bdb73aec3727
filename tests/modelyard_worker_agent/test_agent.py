"""The agent as a whole: its own process, a real nats-server, llama.cpp's real server."""

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx
import psutil
import pytest
from conftest import NatsServer
from modelyard_contracts.messages import PathAnswer, PathQuestion
from modelyard_eventlog.questions import Questions
from modelyard_runtime.secrets import Sealer
from modelyard_worker_agent_world import WORKER, Machine, chat, is_gone, servers_below, spec_of, want
from waiting import until


async def test_a_wanted_instance_serves_and_its_story_is_told_in_order(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))

    running = await machine.observe("InstanceRunning")

    assert machine.story() == ["InstanceStarting", "InstanceRunning"]
    assert (running["attempt"], running["worker_id"], running["deployment_id"]) == (0, WORKER, 5)
    assert running["backend_version"]
    assert (await chat(running)).status_code == 200
    starting = machine.seen("InstanceStarting")[0]
    assert str(tiny_model) in starting["command"]
    assert starting["pid"] == running["pid"]


async def test_facts_carry_who_caused_them_and_ids_that_repeat(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    await machine.observe("InstanceRunning")

    fact = next(seen for seen in machine.observations if seen.event_type == "InstanceRunning")

    assert (fact.actor, fact.correlation_id, fact.worker_id) == ("user/1", "command-1", WORKER)
    assert fact.id.endswith("17/0/InstanceRunning")


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


async def test_a_killed_model_server_is_reported_with_its_signal(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")

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
    [exit_file] = (machine.state / "instances").rglob("exit.json")
    os.utime(exit_file, (0, 0))  # what counts is when it ended, not when that is found out

    machine.start_agent()

    failed = await machine.observe("InstanceFailed")
    assert (failed["cause"], failed["signal"]) == ("crashed", signal.SIGSEGV)
    assert failed["healthy_s"] == 0


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
    async with asyncio.timeout(20):
        while not servers_below(machine.state):
            await asyncio.sleep(0.005)
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


async def test_a_hung_server_fails_as_unresponsive_and_is_ended(machine: Machine, tiny_model: Path) -> None:
    machine.start_agent(MODELYARD_LIVENESS_TIMEOUT_S="0.3")
    await machine.wish(want(spec_of(tiny_model)))
    running = await machine.observe("InstanceRunning")

    os.kill(running["pid"], signal.SIGSTOP)

    failed = await machine.observe("InstanceFailed", seconds=30)
    assert failed["cause"] == "unresponsive"
    assert is_gone(running["pid"])


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


async def test_embedding_flags_in_any_spelling_are_probed_as_embeddings(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(tiny_model, "--embedding --pooling mean")))

    running = await machine.observe("InstanceRunning")

    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"http://{running['host']}:{running['port']}/v1/embeddings"
        answer = await client.post(url, json={"input": "hello"})
    assert len(answer.json()["data"][0]["embedding"]) == 64


async def test_proxies_of_the_environment_do_not_stand_before_a_model_server(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent(
        HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9", NO_PROXY="", no_proxy=""
    )
    await machine.wish(want(spec_of(tiny_model)))

    await machine.observe("InstanceRunning", seconds=8)


async def test_a_server_on_all_addresses_is_announced_by_the_workers_own(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent(MODELYARD_MODEL_SERVER_HOST="0.0.0.0", MODELYARD_WORKER_ADDRESS="127.0.0.2")
    await machine.wish(want(spec_of(tiny_model)))

    running = await machine.observe("InstanceRunning")

    assert running["host"] == "127.0.0.2"
    assert (await chat(running)).status_code == 200


async def test_the_environment_is_opened_for_the_server_alone(machine: Machine, tiny_model: Path) -> None:
    sealed = {"HF_TOKEN": Sealer(machine.sealer_key).seal("hush-hush")}
    machine.start_agent(MODELYARD_JOIN_TOKEN="join-secret")
    await machine.wish(want(spec_of(tiny_model, env=sealed)))

    running = await machine.observe("InstanceRunning")

    environment = psutil.Process(running["pid"]).environ()
    assert environment["HF_TOKEN"] == "hush-hush"
    assert "join-secret" not in environment.values()
    told = json.dumps([seen.model_dump(mode="json") for seen in machine.observations])
    assert "hush-hush" not in told + machine.log_of_agent() + (await machine.log()).text


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


async def test_the_demo_model_answers(machine: Machine, real_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(real_model)))

    running = await machine.observe("InstanceRunning", seconds=60)

    assert (await chat(running)).json()["choices"][0]["message"]["content"]
