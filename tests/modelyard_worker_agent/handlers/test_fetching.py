"""What a model server reads is found or fetched, and what cannot be had is named by its field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub, hub_server
from modelyard_backends.start import Adapter, CannotStart
from modelyard_contracts.deployments import LoraAdapter, Source, SpeculativeConfig
from modelyard_runtime.clock import now
from modelyard_worker_agent.adapters import models
from modelyard_worker_agent.adapters.model_facts import ModelFacts
from modelyard_worker_agent.adapters.models import Fetching, ModelStore
from modelyard_worker_agent.adapters.outbox import Outbox
from modelyard_worker_agent.handlers.fetching import Files, files_of
from modelyard_worker_agent.ports import DownloadFailed, ModelMissing
from modelyard_worker_agent_world import WORKER, spec_of, want


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hub_server() as made:
        adapter = {"adapter_config.json": b'{"r": 8, "rank_pattern": {"q_proj": 32}}'}
        made.add("org/law", {**adapter, "adapter_model.safetensors": b""}, token="hf_mine")
        yield made


async def found(hub: Hub, directory: Path, env: dict[str, str] | None = None, **fields: object) -> Files:
    at = models.Hub(hub.url)
    fetching = Fetching({Source.HUGGINGFACE: at, Source.MODEL_SCOPE: at})
    news = ModelFacts(Outbox(directory / "outbox", WORKER, now), WORKER)
    store = ModelStore(directory / "kept", fetching, news)
    (directory / "m.gguf").touch()
    (directory / "mmproj-m.gguf").touch()
    wanted = want(spec_of(directory / "m.gguf").model_copy(update=fields))

    async def downloading() -> None:
        pass

    return await files_of(store, wanted, env or {}, downloading)


async def test_an_adapter_comes_with_the_deployments_token_and_its_highest_rank(
    hub: Hub, tmp_path: Path
) -> None:
    law = LoraAdapter(lora_name="law", lora_repo_name="org/law")

    files = await found(hub, tmp_path, {"HF_TOKEN": "hf_mine"}, lora_list=(law,))

    [adapter] = files.adapters
    assert adapter == Adapter("chat:law", adapter.path, rank=32)
    assert (Path(adapter.path) / "adapter_model.safetensors").exists()
    assert (files.model, files.projector) == (tmp_path / "m.gguf", tmp_path / "mmproj-m.gguf")


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        (
            {"lora_list": (LoraAdapter(lora_name="law", lora_repo_name="org/law"),)},
            DownloadFailed,
            "lora_list: law: org/law/adapter_config.json cannot be fetched .*: it is gated",
        ),
        (
            {"lora_list": (LoraAdapter(lora_name="law", source=Source.LOCAL_PATH, local_path="/no/law"),)},
            ModelMissing,
            "lora_list: law: /no/law does not exist here",
        ),
        (
            {"lora_list": (LoraAdapter(lora_name="law"),)},
            CannotStart,
            "lora_list: law: lora_repo_name is needed",
        ),
        (
            {"speculative_config": SpeculativeConfig(enabled=True, draft_model="org/none")},
            ModelMissing,
            "speculative_config.draft_model: org/none cannot be fetched",
        ),
    ],
)
async def test_what_cannot_be_had_is_named_by_its_field(
    hub: Hub, tmp_path: Path, fields: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await found(hub, tmp_path, **fields)
