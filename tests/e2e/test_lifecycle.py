"""The life of a deployment, against the running system."""

import asyncio
from pathlib import Path

import httpx
from e2e.stack import Stack, chat, deploy, instances, running_count, story, until_instances


async def test_a_deployment_runs_and_answers_and_its_route_bears_its_name(
    api: httpx.AsyncClient, gateway: httpx.AsyncClient, tiny_model: Path
) -> None:
    model = await deploy(api, tiny_model, "chat")
    [instance] = await until_instances(api, model["id"], running_count(1))
    assert instance["name"].startswith("chat-")
    assert len(instance["name"]) == len("chat-") + 5
    routes = (await api.get("/v2/model-routes", params={"search": "chat"})).json()["items"]
    assert [route["name"] for route in routes] == ["chat"]

    answer = await chat(gateway, "chat")
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["role"] == "assistant"
    async with gateway.stream(
        "POST",
        "/v1/chat/completions",
        json={
            "model": "chat",
            "messages": [{"role": "user", "content": "x"}],
            "stream": True,
            "max_tokens": 3,
        },
    ) as streamed:
        lines = [line async for line in streamed.aiter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    ready = (await api.get(f"/v2/models/{model['id']}")).json()
    assert ready["ready_replicas"] == 1


async def test_a_model_that_is_called_an_embedding_model_embeds(
    api: httpx.AsyncClient, gateway: httpx.AsyncClient, tiny_model: Path
) -> None:
    model = await deploy(
        api, tiny_model, "embeds", categories=["embedding"], backend_parameters=["--pooling", "mean"]
    )
    [instance] = await until_instances(api, model["id"], running_count(1))
    assert "--embedding" in instance["injected_backend_parameters"]
    answer = await gateway.post("/v1/embeddings", json={"model": "embeds", "input": ["a", "b"]})
    assert answer.status_code == 200, answer.text
    assert [len(item["embedding"]) > 0 for item in answer.json()["data"]] == [True, True]


async def test_replicas_scale_at_once_and_the_worst_go_first(
    api: httpx.AsyncClient, tiny_model: Path
) -> None:
    model = await deploy(api, tiny_model, "scaling", replicas=1)
    [first] = await until_instances(api, model["id"], running_count(1))
    path = f"/v2/models/{model['id']}"
    scaled = await api.put(path, json={"replicas": 3})
    assert scaled.status_code == 200, scaled.text
    await until_instances(api, model["id"], running_count(3))
    await api.put(path, json={"replicas": 1})
    left = await until_instances(api, model["id"], running_count(1))
    assert left[0]["id"] == first["id"], "the oldest healthy one stays"


async def test_stop_start_and_delete(api: httpx.AsyncClient, tiny_model: Path) -> None:
    model = await deploy(api, tiny_model, "cycle")
    path = f"/v2/models/{model['id']}"
    [first] = await until_instances(api, model["id"], running_count(1))
    await api.put(path, json={"replicas": 0})
    await until_instances(api, model["id"], lambda items: items == [])
    await api.put(path, json={"replicas": 1})
    [second] = await until_instances(api, model["id"], running_count(1))
    assert second["id"] != first["id"]
    deleted = await api.delete(path)
    assert (deleted.status_code, deleted.json()) == (200, None)
    await until_instances(api, model["id"], lambda items: items == [])
    assert (await api.get(path)).status_code == 404
    routes = (await api.get("/v2/model-routes", params={"search": "cycle"})).json()["items"]
    assert routes == []


async def test_a_deleted_instance_is_recreated(api: httpx.AsyncClient, tiny_model: Path) -> None:
    model = await deploy(api, tiny_model, "phoenix")
    [first] = await until_instances(api, model["id"], running_count(1))
    deleted = await api.delete(f"/v2/model-instances/{first['id']}")
    assert deleted.status_code == 200
    [second] = await until_instances(
        api, model["id"], lambda items: running_count(1)(items) and items[0]["id"] != first["id"]
    )
    assert second["name"] != first["name"]


async def test_an_edit_leaves_existing_instances_as_they_were(
    api: httpx.AsyncClient, stack: Stack, tiny_model: Path
) -> None:
    """Also when they restart; only a recreated one takes the new configuration."""
    model = await deploy(api, tiny_model, "edited", backend_parameters=["--ctx-size=256"])
    [first] = await until_instances(api, model["id"], running_count(1))
    edited = await api.put(f"/v2/models/{model['id']}", json={"backend_parameters": ["--ctx-size=512"]})
    assert edited.status_code == 200
    assert edited.json()["backend_parameters"] == ["--ctx-size=512"]
    [same] = await instances(api, model["id"])
    assert (same["id"], same["state"], same["pid"]) == (first["id"], "running", first["pid"])

    await _kill(first["pid"])
    [restarted] = await until_instances(
        api, model["id"], lambda items: running_count(1)(items) and items[0]["pid"] != first["pid"]
    )
    assert restarted["id"] == first["id"]
    assert restarted["restart_count"] == 1
    assert await _context_sizes(api, first["id"]) == ["--ctx-size=256", "--ctx-size=256"]

    await api.delete(f"/v2/model-instances/{first['id']}")
    [fresh] = await until_instances(
        api, model["id"], lambda items: running_count(1)(items) and items[0]["id"] != first["id"]
    )
    assert await _context_sizes(api, fresh["id"]) == ["--ctx-size=512"]


async def _context_sizes(api: httpx.AsyncClient, instance_id: int) -> list[str]:
    """What each start of the instance was given as its context size."""
    events = await story(api, f"instance/{instance_id}")
    commands = [event["data"]["command"] for event in events if event["type"] == "InstanceStarting"]
    return [part for command in commands for part in command if part.startswith("--ctx-size")]


async def _kill(pid: int) -> None:
    import os
    import signal

    await asyncio.to_thread(os.kill, pid, signal.SIGKILL)


async def test_what_cannot_start_is_tried_three_times_and_replaced_once_it_is_changed(
    api: httpx.AsyncClient, tiny_model: Path
) -> None:
    broken = tiny_model.with_name("broken.gguf")
    broken.write_bytes(tiny_model.read_bytes().replace(b"llama", b"lxama"))
    model = await deploy(api, broken, "broken")
    [instance] = await until_instances(
        api, model["id"], lambda items: len(items) == 1 and items[0]["given_up"], seconds=90
    )
    assert (instance["failure_cause"], instance["restart_count"]) == ("unsupported_model", 2)
    events = await story(api, f"instance/{instance['id']}")
    failed = next(event["data"] for event in events if event["type"] == "InstanceFailed")
    assert failed["exit_code"] not in (0, None)
    assert failed["last_lines"]
    delays = [event["data"]["delay_s"] for event in events if event["type"] == "InstanceRestartScheduled"]
    assert delays[1] > delays[0] * 1.4
    await api.put(f"/v2/models/{model['id']}", json={"local_path": str(tiny_model)})
    await until_instances(api, model["id"], running_count(1), seconds=90)
    await api.delete(f"/v2/models/{model['id']}")


async def test_without_restart_on_error_a_failed_instance_stays_failed(
    api: httpx.AsyncClient, tiny_model: Path
) -> None:
    broken = tiny_model.with_name("broken2.gguf")
    broken.write_bytes(tiny_model.read_bytes().replace(b"llama", b"lxama"))
    model = await deploy(api, broken, "stays-broken", restart_on_error=False)
    [failed] = await until_instances(
        api, model["id"], lambda items: len(items) == 1 and items[0]["state"] == "error", seconds=90
    )
    events = await story(api, f"instance/{failed['id']}")
    assert "InstanceRestartScheduled" not in {event["type"] for event in events}
    assert failed["state_message"]
    logs = await api.get(f"/v2/model-instances/{failed['id']}/logs")
    assert logs.status_code == 200
    assert logs.text
    await api.delete(f"/v2/models/{model['id']}")


async def test_logs_are_live_and_stay_readable_after_deletion(
    api: httpx.AsyncClient, tiny_model: Path
) -> None:
    model = await deploy(api, tiny_model, "logged")
    [instance] = await until_instances(api, model["id"], running_count(1))
    path = f"/v2/model-instances/{instance['id']}/logs"
    whole = (await api.get(path)).text
    assert whole
    assert (await api.get(path, params={"tail": 2})).text.splitlines() == whole.splitlines()[-2:]

    lines: list[str] = []

    async def follow() -> None:
        async with api.stream("GET", path, params={"follow": True, "tail": 1}) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                lines.append(line)

    following = asyncio.create_task(follow())
    async with asyncio.timeout(10):
        while not lines:
            await asyncio.sleep(0.02)
    await api.delete(f"/v2/models/{model['id']}")
    await asyncio.wait_for(following, 30)
    await until_instances(api, model["id"], lambda items: items == [])
    after = await api.get(path)
    assert after.status_code == 200
    assert after.text.startswith(whole[:100])


async def test_the_story_of_a_deployment_says_who_did_what_and_why(
    api: httpx.AsyncClient, tiny_model: Path
) -> None:
    model = await deploy(api, tiny_model, "storied")
    await until_instances(api, model["id"], running_count(1))
    events = await story(api, f"deployment/{model['id']}")
    types = [event["type"] for event in events]
    expected = [
        "DeploymentRequested",
        "InstanceRequested",
        "InstanceScheduled",
        "InstanceStarting",
        "InstanceRunning",
    ]
    assert [kind for kind in types if kind in expected] == expected
    actors = {event["type"]: event["actor"] for event in events}
    assert [actors[kind].split("/")[0] for kind in expected] == [
        "user",
        "system",
        "system",
        "worker",
        "worker",
    ]
    assert len({event["correlationid"] for event in events}) == 1
    by_id = {event["id"]: event for event in events}
    requested = next(event for event in events if event["type"] == "InstanceRequested")
    assert by_id[requested["causationid"]]["type"] == "DeploymentRequested"
