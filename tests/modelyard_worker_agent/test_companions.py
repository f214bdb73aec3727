"""What runs along with a model: adapters, draft models and projectors, fetched and served by llama.cpp."""

import base64
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_server import Hub, hub_server
from modelyard_contracts.deployments import (
    Backend,
    DeploymentSpec,
    LoraAdapter,
    Source,
    SpeculativeConfig,
)
from modelyard_worker_agent_world import Machine, spec_of, want
from tiny_gguf import write_tiny_lora, write_tiny_projector

Json = dict[str, Any]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> Iterator[Hub]:
    """With `org/law` and `org/tax`, adapters of the tiny model; `org/draft`, which is that itself; and
    `org/seeing`, that with a projector."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for seed, name in ((11, "law"), (5, "tax")):
        write_tiny_lora(tmp_path / f"{name}.gguf", seed)
    write_tiny_projector(tmp_path / "mmproj.gguf")
    with hub_server() as made:
        made.add("org/law", {"law-F32-LoRA.gguf": tmp_path / "law.gguf", "adapter_config.json": b"{}"})
        made.add("org/tax", {"tax-F32-LoRA.gguf": tmp_path / "tax.gguf"})
        made.add("org/draft", {"draft.gguf": tiny_model, "model.safetensors": b""})
        made.add("org/seeing", {"m.gguf": tiny_model, "mmproj-F32.gguf": tmp_path / "mmproj.gguf"})
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


def with_companions(model: Path, **fields: object) -> DeploymentSpec:
    return spec_of(model).model_copy(update={"backend": Backend.LLAMA_CPP, **fields})


async def says(running: Json, **fields: object) -> Json:
    body = {"prompt": "hello", "max_tokens": 12, "temperature": 0, **fields}
    return await post(running, "completions", body)


async def post(running: Json, path: str, body: Json) -> Json:
    url = f"http://{running['host']}:{running['port']}/v1/{path}"
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        answer = await client.post(url, json=body)
    assert answer.status_code == 200, answer.text
    said: Json = answer.json()
    return said


async def test_adapters_of_a_hub_are_fetched_and_change_only_what_asks_for_them(
    machine: Machine, hub: Hub, tiny_model: Path
) -> None:
    machine.start_agent()
    adapters = (
        LoraAdapter(lora_name="law", lora_repo_name="org/law"),
        LoraAdapter(lora_name="tax", lora_repo_name="org/tax"),
    )
    await machine.wish(want(with_companions(tiny_model, lora_list=adapters)))

    running = await machine.observe("InstanceRunning")

    kept = sorted(path.name for path in (machine.state / "models").glob("*/files/*.gguf"))
    assert kept == ["law-F32-LoRA.gguf", "tax-F32-LoRA.gguf"]
    asked = [(), (0,), (1,), (), (0,)]
    plain, law, tax, plain_again, law_again = [
        (await says(running, lora=[{"id": number, "scale": 1.0} for number in which]))["choices"][0]["text"]
        for which in asked
    ]
    assert len({plain, law, tax}) == 3
    assert (plain_again, law_again) == (plain, law)
    assert (await says(running))["choices"][0]["text"] == plain


async def test_a_draft_model_of_a_hub_is_fetched_and_its_drafts_are_taken(
    machine: Machine, hub: Hub, tiny_model: Path
) -> None:
    machine.start_agent()
    drafting = SpeculativeConfig(enabled=True, draft_model="org/draft", num_draft_tokens=4)
    await machine.wish(want(with_companions(tiny_model, speculative_config=drafting)))

    running = await machine.observe("InstanceRunning")

    timings = (await says(running))["timings"]
    assert timings["draft_n"] > 0
    assert timings["draft_n_accepted"] == timings["draft_n"], "it drafts for itself"
    downloaded = machine.seen("ModelFileDownloaded")
    assert [one["model"]["repo"] for one in downloaded] == ["org/draft"]


async def test_a_model_with_a_projector_is_shown_images(machine: Machine, hub: Hub, tiny_model: Path) -> None:
    machine.start_agent()
    seeing = DeploymentSpec(
        source=Source.HUGGINGFACE,
        huggingface_repo_id="org/seeing",
        backend_parameters=("--ctx-size=512", "--threads=1"),
    )
    await machine.wish(want(seeing))

    running = await machine.observe("InstanceRunning")

    shown = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture()}"}}
    content = [{"type": "text", "text": "What is this?"}, shown]
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 2}
    assert (await post(running, "chat/completions", body))["choices"]
    command = machine.seen("InstanceStarting")[0]["command"]
    assert command[command.index("--mmproj") + 1].endswith("/files/mmproj-F32.gguf")


def picture(side: int = 32) -> str:
    """A PNG in base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes([row * 8, 128, 255 - row * 8]) * side for row in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()
