"""One model on two workers, from the deployment to the answer."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from e2e.stack import FAST, Stack, chat, deploy, instances, running, running_count, until_instances
from fake_nvml import FakeNvml, Gpu, build
from waiting import until_async

GROUP_SERVER = Path(__file__).parent.parent / "group_server" / "serve.py"
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}


def model_in(directory: Path) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(LLAMA))
    tensors = {
        "model.embed_tokens.weight": {"dtype": "BF16", "shape": [256, 128], "data_offsets": [0, 65536]}
    }
    header = json.dumps(tensors).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(65536)
    (directory / "model.safetensors").write_bytes(weights)
    return directory


def second_agent(stack: Stack) -> "subprocess.Popen[bytes]":
    secrets = json.loads((stack.state / "secrets.json").read_text())
    ours = {
        "MODELYARD_API": stack.api_url,
        "MODELYARD_JOIN_TOKEN": secrets["join_token"],
        "MODELYARD_WORKER_STATE": str(stack.directory / "second"),
        "MODELYARD_WORKER_NAME": "second",
        "MODELYARD_WORKER_ADDRESS": "127.0.0.2",
    }
    with (stack.directory / "second.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "modelyard_worker_agent"],
            stdout=log,
            stderr=log,
            env={**os.environ, **FAST, **stack.environment, **ours},
            start_new_session=True,
        )


async def test_a_model_on_two_workers_answers_and_restarts_once_when_its_primary_dies(tmp_path: Path) -> None:
    nvml = FakeNvml(build(tmp_path), tmp_path / "nvml.txt")
    nvml.say([Gpu("GPU-a")])
    program = tmp_path / "vllm"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {GROUP_SERVER} "$@"\n')
    program.chmod(0o755)
    programs = {"MODELYARD_BACKEND_PROGRAMS": json.dumps({"vLLM": str(program)})}
    environment = {**nvml.environment(), **programs, "MODELYARD_WORKER_NAME": "first"}
    async with (
        running(environment=environment) as stack,
        stack.client() as api,
        stack.client(stack.gateway_url) as gateway,
    ):
        agent = second_agent(stack)

        async def both_are_here() -> bool:
            found = (await api.get("/v2/gpu-devices", params={"page": -1})).json()["items"]
            return len(found) == 2

        await until_async(both_are_here, 60)
        model = await deploy(
            api,
            model_in(tmp_path / "model"),
            "wide",
            backend="vLLM",
            backend_parameters=["--distributed-executor-backend=mp"],
            distributed_inference_across_workers=True,
            gpu_selector={"gpu_ids": ["first:cuda:0", "second:cuda:0"]},
        )
        [instance] = await until_instances(api, model["id"], running_count(1), seconds=120)
        [other] = instance["distributed_servers"]["subordinate_workers"]
        assert (other["state"], bool(other["pid"])) == ("running", True)
        assert (await chat(gateway, "wide")).status_code == 200

        psutil.Process(instance["pid"]).send_signal(signal.SIGKILL)

        async def again() -> bool:
            [now] = await instances(api, model["id"])
            return bool(now["state"] == "running" and now["restart_count"] == 1)

        await until_async(again, 120)
        assert (await chat(gateway, "wide")).status_code == 200
        assert not psutil.pid_exists(other["pid"])

        assert (await api.delete(f"/v2/models/{model['id']}")).status_code == 200
        await until_instances(api, model["id"], lambda items: not items)
        agent.terminate()
        await asyncio.to_thread(agent.wait, 20)
