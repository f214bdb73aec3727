"""Routers of others, from PyPI, in an environment of their own: `make bench-gateway` installs them."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from bench.gateway.contenders import Contender, process, until_answers
from conftest import free_port

ENVIRONMENT = Path(__file__).parents[3] / ".venv-rivals"
START_S = 180
LITELLM = """
model_list:
  - model_name: tiny
    litellm_params: {{model: openai/tiny, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
"""
KEY = "sk-bench"


def installed() -> bool:
    return (ENVIRONMENT / "ready").exists()


def versions() -> str:
    command = [str(ENVIRONMENT / "bin/pip"), "freeze"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = ("litellm==", "sglang-router==")
    return ", ".join(line.replace("==", " ") for line in said.splitlines() if line.startswith(names))


@contextlib.asynccontextmanager
async def litellm(directory: Path, upstream: int) -> AsyncIterator[Contender]:
    """With a key, without a database."""
    port, config = free_port(), directory / "litellm.yaml"
    config.write_text(LITELLM.format(upstream=upstream, key=KEY))
    command = [str(ENVIRONMENT / "bin/litellm"), "--config", str(config), "--host", "127.0.0.1"]
    async with _running(
        [*command, "--port", str(port)], directory, "LiteLLM", port, "/health/liveliness"
    ) as one:
        one.key = KEY
        yield one


@contextlib.asynccontextmanager
async def sglang_router(directory: Path, upstream: int) -> AsyncIterator[Contender]:
    """Without keys. Its policies that look at loads want two workers at least."""
    port = free_port()
    command = [str(ENVIRONMENT / "bin/python"), "-m", "sglang_router.launch_router"]
    command += ["--worker-urls", f"http://127.0.0.1:{upstream}", "--policy", "round_robin"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
    command += ["--log-level", "warn"]
    async with _running(command, directory, "sglang-router", port, "/readiness") as one:
        yield one


@contextlib.asynccontextmanager
async def _running(
    command: list[str], directory: Path, name: str, port: int, path: str
) -> AsyncIterator[Contender]:
    quiet = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with process(command, directory / f"{name}.log", quiet) as started:
        await asyncio.to_thread(until_answers, port, path, START_S)
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        yield Contender(name, port, [started.pid, *map(int, children)])
