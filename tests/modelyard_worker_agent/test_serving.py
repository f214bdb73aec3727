"""Model servers that a real agent starts: what they answer and with what they are started."""

import json
from pathlib import Path

import httpx
import psutil
from modelyard_runtime.secrets import Sealer
from modelyard_worker_agent_world import WORKER, Machine, chat, spec_of, want


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

    assert (fact.actor, fact.correlation_id, fact.worker_id) == (f"worker/{WORKER}", "command-1", WORKER)
    assert fact.id.endswith("17/0/InstanceRunning")


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


async def test_the_demo_model_answers(machine: Machine, real_model: Path) -> None:
    machine.start_agent()
    await machine.wish(want(spec_of(real_model)))

    running = await machine.observe("InstanceRunning", seconds=60)

    assert (await chat(running)).json()["choices"][0]["message"]["content"]
