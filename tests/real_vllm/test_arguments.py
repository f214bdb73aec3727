"""What we tell vLLM is what its own parser reads."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from modelyard_backends.builtin import VLLM
from modelyard_backends.command import command_line
from modelyard_backends.start import Adapter, Group, Member, Start
from modelyard_contracts.deployments import (
    Claim,
    DeploymentSpec,
    ExtendedKVCache,
    LoraAdapter,
    Source,
    SpeculativeConfig,
)

HERE = Path(__file__).parent
GIB = 2**30
MP = "--distributed-executor-backend mp"


def arguments(*parameters: str, group: Group | None = None, gpus: int = 1, **fields: Any) -> list[str]:
    """From `serve` on."""
    spec = DeploymentSpec(source=Source.LOCAL_PATH, local_path="/m", backend_parameters=parameters, **fields)
    vram = {f"cuda:{index}": 80 * GIB for index in range(gpus)}
    adapters = tuple(Adapter(f"chat:{lora.lora_name}", "/l", rank=20) for lora in spec.lora_list)
    start = Start(
        model_path="/m",
        model_name="chat",
        host="127.0.0.1",
        port=41234,
        worker_ip="10.0.0.1",
        version="0.32.0",
        framework="cuda",
        claim=Claim(vram_bytes=vram, fraction=0.85, context_tokens=4096),
        group=group,
        adapters=adapters,
        vram_bytes=sum(vram.values()),
    )
    line = command_line(VLLM, spec, start, env={}, in_container=False)
    assert line.arguments[0] == "vllm"
    return list(line.arguments[2:])


def group_of(rank: int) -> Group:
    return Group((Member("10.0.0.1", 2), Member("10.0.0.2", 2)), rank, ports=(40001, 40002))


CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "one device": (
        arguments(),
        {
            "model_tag": "/m",
            "host": "127.0.0.1",
            "port": 41234,
            "served_model_name": ["chat"],
            "gpu_memory_utilization": 0.85,
            "max_model_len": 4096,
        },
    ),
    "two devices": (arguments(gpus=2), {"tensor_parallel_size": 2}),
    "the user's own": (
        arguments("-tp 1", "--max_model_len=8192", '--hf-overrides={"a": ["b c"]}', gpus=2),
        {"tensor_parallel_size": 1, "max_model_len": 8192, "hf_overrides": {"a": ["b c"]}},
    ),
    "adapters": (
        arguments(lora_list=(LoraAdapter(lora_name="law"), LoraAdapter(lora_name="tax"))),
        {
            "enable_lora": True,
            "max_loras": 2,
            "max_lora_rank": 32,
            "lora_modules": [["chat:law", "/l"], ["chat:tax", "/l"]],
        },
    ),
    "speculative": (
        arguments(speculative_config=SpeculativeConfig(enabled=True, algorithm="ngram", num_draft_tokens=3)),
        {
            "speculative_config": {
                "method": "ngram",
                "num_speculative_tokens": 3,
                "prompt_lookup_max": 5,
                "prompt_lookup_min": 1,
            }
        },
    ),
    "extended cache": (arguments(extended_kv_cache=ExtendedKVCache(enabled=True)), {}),
    "primary of two workers": (
        arguments(MP, gpus=2, group=group_of(0)),
        {
            "nnodes": 2,
            "node_rank": 0,
            "master_addr": "10.0.0.1",
            "master_port": 40001,
            "tensor_parallel_size": 2,
            "pipeline_parallel_size": 2,
            "distributed_executor_backend": "mp",
            "headless": False,
        },
    ),
    "second of two workers": (
        arguments(MP, gpus=2, group=group_of(1)),
        {"nnodes": 2, "node_rank": 1, "headless": True},
    ),
}


@pytest.fixture(scope="module")
def read(vllm: Path) -> dict[str, dict[str, Any]]:
    asked = json.dumps([words for words, _ in CASES.values()])
    done = subprocess.run(
        [vllm.parent / "python", HERE / "parse_arguments.py"],
        input=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(CASES, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_its_own_parser_reads_what_we_mean(read: dict[str, dict[str, Any]], case: str) -> None:
    _, expected = CASES[case]

    assert {name: read[case][name] for name in expected} == expected


def test_the_extended_cache_is_read_as_lmcache(read: dict[str, dict[str, Any]]) -> None:
    assert "LMCacheConnectorV1" in str(read["extended cache"]["kv_transfer_config"])
