"""A real vLLM on two workers: two agents on two loopback addresses, each with a stage of the model."""

import json
import signal
from pathlib import Path

import httpx
from conftest import NatsServer
from modelyard_worker_agent_group import group_at
from modelyard_worker_agent_world import is_gone
from nats.aio.client import Client

PARAMETERS = ("--distributed-executor-backend=mp", "--max-model-len=256", "-cc.mode=2", "-cc.backend=eager")
"""With `--enforce-eager`, vLLM 0.32 on the CPU is not warmed up, and its second stage then has no buffers for
what the first sends it."""
VARIABLES = {"VLLM_CPU_KVCACHE_SPACE": "1"}
AGENT = {
    "MODELYARD_START_TIMEOUT_S": "600",
    "MODELYARD_LIVENESS_S": "1",
    "MODELYARD_LIVENESS_FAILURES": "30",
    "MODELYARD_PROBE_TIMEOUT_S": "5",
}


async def test_one_model_is_served_by_two_workers_and_a_dead_one_restarts_both(
    vllm: Path, tiny_llama: Path, own_nats_server: NatsServer, own_nats: Client, tmp_path: Path
) -> None:
    programs = json.dumps({"vLLM": str(vllm)})
    async with group_at(tmp_path, own_nats_server.url, own_nats, programs, started=()) as group:
        for number in (0, 1):
            group.start_agent(number, **AGENT)
        await group.is_placed(tiny_llama, *PARAMETERS, env=VARIABLES)
        running = await group.fact("InstanceRunning", seconds=600)
        body = {"model": "chat", "prompt": "hello", "max_tokens": 4, "temperature": 0}
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            answer = await client.post(f"http://{running.host}:{running.port}/v1/completions", json=body)
        assert answer.json()["usage"]["completion_tokens"] == 4
        member = await group.fact("InstanceMemberStarted")
        assert "--headless" in member.command

        for process in group.servers(1):
            process.send_signal(signal.SIGKILL)
        failed = await group.fact("InstanceFailed", seconds=120)
        assert failed.message.startswith("on w4 (rank 1 of 2)")
        again = await group.fact("InstanceRunning", count=2, seconds=600)
        assert again.attempt == 1
        assert is_gone(running.pid)

        await group.deletes()
        await group.fact("InstanceRemoved", seconds=120)
        assert not group.servers(0)
        assert not group.servers(1)
