"""Inference as a developer calls it: every protocol of the gateway, streamed and not."""

import json
from pathlib import Path

import httpx
from e2e.stack import deploy, running_count, until_instances
from tiny_gguf import write_tiny_gguf

MESSAGES = [{"role": "user", "content": "Hello"}]


async def test_a_directory_with_one_model_is_served_by_every_protocol(
    api: httpx.AsyncClient, gateway: httpx.AsyncClient, tmp_path: Path
) -> None:
    directory = tmp_path / "models"
    directory.mkdir()
    write_tiny_gguf(directory / "only.gguf")
    model = await deploy(api, directory, "in-a-directory")
    await until_instances(api, model["id"], running_count(1))

    listed = (await gateway.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert "in-a-directory" in [item["id"] for item in listed["data"]]

    asked = {"model": "in-a-directory", "max_tokens": 4, "temperature": 0}
    whole = await gateway.post("/v1/chat/completions", json={**asked, "messages": MESSAGES})
    assert whole.status_code == 200, whole.text
    assert whole.json()["model"] == "in-a-directory"
    completed = await gateway.post("/v1/completions", json={**asked, "prompt": "Hello"})
    assert completed.json()["usage"]["completion_tokens"] > 0

    streamed = {**asked, "messages": MESSAGES, "stream": True}
    async with gateway.stream("POST", "/v1/chat/completions", json=streamed) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") async for line in response.aiter_lines() if line]
    assert lines[-1] == "[DONE]"
    pieces = [json.loads(line)["choices"][0]["delta"].get("content") or "" for line in lines[:-1]]
    assert "".join(pieces) == whole.json()["choices"][0]["message"]["content"]
