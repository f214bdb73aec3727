"""A real vLLM, deployed and asked through the gateway. It computes on the CPU; the device that it is placed
on is one of the stand-in for NVML, of which it is not to know itself."""

import json
from pathlib import Path

from e2e.stack import chat, deploy, running, running_count, story, until_instances
from fake_nvml import FakeNvml, Gpu, build

VARIABLES = {"VLLM_CPU_KVCACHE_SPACE": "1", "HUB_TOKEN": "s3cret", "LD_LIBRARY_PATH": "", "FAKE_NVML": ""}


async def test_vllm_is_deployed_and_chats_through_the_gateway(
    vllm: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    nvml = FakeNvml(build(tmp_path), tmp_path / "nvml.txt")
    nvml.say([Gpu("GPU-a")])
    programs = {"MODELYARD_BACKEND_PROGRAMS": json.dumps({"vLLM": str(vllm)})}
    environment = {**nvml.environment(), **programs}
    async with (
        running(environment=environment) as stack,
        stack.client() as api,
        stack.client(stack.gateway_url) as gateway,
    ):
        model = await deploy(
            api,
            tiny_llama,
            "tiny-llama",
            backend="vLLM",
            backend_parameters=["--enforce-eager", "--max-model-len=256"],
            env=VARIABLES,
            restart_on_error=False,
        )
        [instance] = await until_instances(api, model["id"], running_count(1), seconds=420)

        answer = await chat(gateway, "tiny-llama")
        workers = (await api.get("/v2/workers")).json()["items"]

        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] == 4
        assert workers[0]["status"]["backends"]["vLLM"] == instance["backend_version"]
        assert instance["command"][:3] == [str(vllm), "serve", str(tiny_llama)]
        assert "--gpu-memory-utilization" in instance["injected_backend_parameters"]
        assert "--max-model-len" not in instance["injected_backend_parameters"]
        events = await story(api, f"deployment/{model['id']}")
        assert "s3cret" not in json.dumps(events)
