"""What would fit, asked of the running system: the same rules, without anything being deployed."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from e2e.stack import deploy, running_count, until_instances

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "vocab_size": 128256,
}


async def evaluated(api: httpx.AsyncClient, spec: dict[str, Any], **query: str) -> dict[str, Any]:
    answer = await api.post("/v2/model-evaluations", json={"model_specs": [spec]}, params=query)
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    return dict(result)


async def test_what_fits_on_the_live_cluster_is_told_with_its_claim(
    api: httpx.AsyncClient, tiny_model: Path
) -> None:
    async with asyncio.timeout(10):
        while not (await api.get("/v2/workers")).json()["items"][0]["status"]["memory"]["total"]:
            await asyncio.sleep(0.02)
    before = datetime.now(UTC)
    small = {"source": "local_path", "local_path": str(tiny_model), "backend_parameters": ["-c 256"]}
    found = await evaluated(api, small)
    assert found["compatible"], found
    assert found["resource_claim"]["ram"] > 0
    assert found["instances"][0]["placement"]["strategy"] == "main_memory"

    model = await deploy(api, tiny_model, "evaluated")
    [instance] = await until_instances(api, model["id"], running_count(1))
    assert instance["computed_resource_claim"]["ram"] > 0
    assert (instance["gpu_type"], instance["gpu_indexes"]) == (None, [])
    earlier = await evaluated(api, small, at=before.isoformat())
    assert earlier["compatible"], earlier


async def test_adapters_and_draft_models_count(api: httpx.AsyncClient, tiny_model: Path) -> None:
    small = {"source": "local_path", "local_path": str(tiny_model), "backend_parameters": ["-c 256"]}
    alone = await evaluated(api, small)
    draft = {"enabled": True, "algorithm": "eagle3", "draft_model": str(tiny_model)}
    drafted = await evaluated(api, {**small, "speculative_config": draft})
    assert drafted["resource_claim"]["ram"] > alone["resource_claim"]["ram"] > 0
    law = {"lora_name": "law", "source": "local_path", "local_path": "/no/such/adapter"}
    unknown = await evaluated(api, {**small, "lora_list": [law]})
    assert unknown["error_message"] == "model_specs.lora_list: law: no worker has a model at /no/such/adapter"


async def test_what_does_not_fit_says_what_is_lacking(api: httpx.AsyncClient) -> None:
    large = {
        "source": "huggingface",
        "huggingface_repo_id": "org/large",
        "backend": "vLLM",
        "metadata": {"config": CONFIG, "weight_bytes": 16 * 1024**3},
    }
    found = await evaluated(api, large)
    assert not found["compatible"]
    assert found["compatibility_messages"] or found["scheduling_messages"]
    assert found["resource_claim"] is None
    bad = await evaluated(api, {**large, "no_such_field": 1})
    assert bad["error"]
    assert "model_specs.no_such_field" in bad["error_message"]
    refused = await api.post("/v2/model-evaluations", json={"model_specs": []})
    assert refused.status_code == 422


async def test_files_that_the_disk_has_no_room_for_are_told_with_the_numbers(api: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):
        while True:
            [disk] = (await api.get("/v2/workers")).json()["items"][0]["status"]["filesystem"]
            if disk["available"]:
                break
            await asyncio.sleep(0.05)
    assert 0 < disk["available"] <= disk["total"]
    huge = {
        "source": "huggingface",
        "huggingface_repo_id": "org/huge",
        "backend": "Custom",
        "metadata": {"config": CONFIG, "weight_bytes": 1 << 50},
    }
    found = await evaluated(api, huge)
    [reason] = found["instances"][0]["unschedulable"]
    assert (reason["check"], reason["needed"]) == ("disk", 1 << 50)
    assert 0 < reason["available"] <= disk["total"]
    assert "of disk free, the files of the model take" in found["scheduling_messages"][0]


async def test_before_there_were_workers_nothing_fitted(api: httpx.AsyncClient, tiny_model: Path) -> None:
    spec = {"source": "local_path", "local_path": str(tiny_model)}
    found = await evaluated(api, spec, at="2020-01-01T00:00:00Z")
    assert not found["compatible"]
