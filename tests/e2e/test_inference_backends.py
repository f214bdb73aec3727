"""Inference backends over the API: the built-in ones, and an operator's own in JSON and YAML."""

import json
from pathlib import Path

import httpx
from e2e.stack import Stack, chat, deploy, running_count, until_instances

URL = "/v2/inference-backends"


async def test_built_in_backends_are_there_and_can_be_set_but_not_deleted(api: httpx.AsyncClient) -> None:
    listed = (await api.get(f"{URL}/all")).json()["items"]
    by_name = {item["backend_name"]: item for item in listed if item["is_built_in"]}
    assert set(by_name) == {"vLLM", "SGLang", "MindIE", "VoxBox", "llama.cpp", "Custom"}
    vllm = by_name["vLLM"]
    assert vllm["frameworks"] == ["cann", "cpu", "cuda", "rocm"]

    sent = {**vllm, "version_configs": {"9-custom": {"image_name": "registry/mine:9"}}}
    changed = await api.put(f"{URL}/{vllm['id']}", json=sent)
    assert changed.status_code == 200, changed.text
    assert changed.json()["versions"] == [vllm["default_version"], "9-custom"]
    refused = await api.put(f"{URL}/{vllm['id']}", json={"default_run_command": "mine"})
    assert (refused.status_code, refused.json()["message"][:19]) == (422, "default_run_command")
    assert (await api.delete(f"{URL}/{vllm['id']}")).status_code == 409


async def test_an_own_backend_is_made_shown_changed_and_deleted(api: httpx.AsyncClient) -> None:
    body = {
        "backend_name": "tei-custom",
        "default_run_command": "tei --model-id {{model_path}} --port {{port}}",
        "default_env": {"LEVEL": "info", "API_TOKEN": "s3cret"},
        "health_check_path": "/health",
    }
    made = await api.post(URL, json=body)
    assert made.status_code == 200, made.text
    ident = made.json()["id"]
    assert ident > 100
    assert made.json()["default_env"] == {"LEVEL": "info", "API_TOKEN": "********"}
    assert (await api.post(URL, json=body)).status_code == 409
    named = await api.get(f"{URL}/backend_name/tei-custom")
    assert named.json()["id"] == ident

    text = """
        backend_name: tei-custom
        parameter_format: equal
        version_configs:
          '1.8':
            image_name: tei:1.8
    """
    changed = await api.put(f"{URL}/from-yaml", content=text, headers={"Content-Type": "application/yaml"})
    assert changed.status_code == 200, changed.text
    assert changed.json()["parameter_format"] == "equal"
    assert changed.json()["version_configs"]["1.8"]["image_name"] == "tei:1.8"
    assert changed.json()["default_env"]["API_TOKEN"] == "********"

    assert (await api.delete(f"{URL}/{ident}")).status_code == 200
    assert (await api.get(f"{URL}/{ident}")).status_code == 404
    events = (await api.get("/v2/events", params={"subject": f"backend/{ident}"})).json()["items"]
    assert [event["type"] for event in events] == [
        "InferenceBackendDefined",
        "InferenceBackendDefined",
        "InferenceBackendDeleted",
    ]
    assert "s3cret" not in json.dumps(events)


async def test_bad_definitions_are_refused_by_field(api: httpx.AsyncClient) -> None:
    for body, field in (
        ({"backend_name": "mine"}, "backend_name"),
        ({"backend_name": "x-custom", "health_check_path": "up"}, "health_check_path"),
        ({"backend_name": "x-custom", "images": {"abacus": "i"}}, "images"),
        ({"backend_name": "x-custom", "colour": "red"}, "colour"),
    ):
        refused = await api.post(URL, json=body)
        assert refused.status_code == 422, body
        assert field in refused.json()["message"]
    for text in ("a: [", "- 1", "x" * 300_000):
        refused = await api.post(f"{URL}/from-yaml", content=text)
        assert refused.status_code == 422
        assert refused.json()["message"]


async def test_a_model_is_served_by_an_own_backend(stack: Stack, tiny_model: Path) -> None:
    command = (
        "{{python}} -m modelyard_worker_agent.launchers.llama_cpp --model {{model_path}} --host {{host}} "
        "--report {{report}} --port {{port}} --alias {{model_name}}"
    )
    body = {
        "backend_name": "own-llama-custom",
        "default_run_command": command,
        "health_check_path": "/health",
        "default_backend_param": ["--ctx-size 512", "--parallel", "1"],
    }
    async with stack.client() as api, stack.client(stack.gateway_url) as gateway:
        made = await api.post(URL, json=body)
        assert made.status_code == 200, made.text
        model = await deploy(
            api,
            tiny_model,
            "by-own-backend",
            backend="own-llama-custom",
            backend_parameters=["--ctx-size=256", "--threads", "1"],
        )
        [instance] = await until_instances(api, model["id"], running_count(1))
        assert instance["backend"] == "own-llama-custom"
        assert instance["injected_backend_parameters"] == ["--parallel", "1"]
        assert (await chat(gateway, "by-own-backend")).status_code == 200
        in_use = await api.delete(f"{URL}/{made.json()['id']}")
        assert in_use.status_code == 409
        assert "by-own-backend" in in_use.json()["message"]
