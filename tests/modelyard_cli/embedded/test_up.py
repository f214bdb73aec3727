"""`modelyard up` as a person runs it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
from e2e.stack import Stack, deploy, running, running_count, until_instances
from tiny_gguf import write_tiny_gguf
from waiting import until

PARTS = ("nats-server", "postgres", "modelyard_api", "modelyard_scheduler", "modelyard_gateway")


def run_up(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelyard_cli", "up", *arguments],
        env={**os.environ, **stack.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_up_from_the_first_start_to_the_last_stop() -> None:
    async with running() as stack:
        await until(lambda: "Modelyard is up" in stack.said())
        password = (stack.state / "initial-password").read_text().strip()
        assert f"admin / {password}" in stack.said()
        assert [stack.processes(part) != [] for part in PARTS] == [True] * len(PARTS)
        for secret in (stack.state / "secrets.json", stack.state / "admin-key", stack.state / "run.json"):
            assert secret.stat().st_mode & 0o777 == 0o600

        second = await asyncio.to_thread(run_up, stack, "--state-dir", str(stack.state))
        assert second.returncode == 2
        assert second.stderr.startswith(f"modelyard: Modelyard is already running on {stack.state}.")

        elsewhere = stack.directory / "elsewhere"
        busy = await asyncio.to_thread(
            run_up, stack, "--state-dir", str(elsewhere), "--api-port", str(stack.api_port)
        )
        assert busy.returncode == 2
        assert f"Port {stack.api_port}, which the api needs, is in use" in busy.stderr

        assert await asyncio.to_thread(stack.stop) == 0
        assert f"stopped; the data is kept in {stack.state}" in stack.said()
        assert list(stack._all()) == []


async def test_nothing_is_lost_and_model_servers_go_on_when_up_is_killed(tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    write_tiny_gguf(model)
    async with running() as stack:
        async with stack.client() as client:
            made = await deploy(client, model, "tiny")
            [before] = await until_instances(client, made["id"], running_count(1))
        assert stack.process is not None
        stack.process.send_signal(signal.SIGKILL)
        stack.process.wait()
        stack.launch()
        await until(lambda: stack.said().count("Modelyard is up") == 2, 60)
        assert "ended what an earlier run had left: gateway, worker, scheduler, api, postgres, nats" in (
            stack.said()
        )
        async with stack.client() as client:
            [after] = await until_instances(client, made["id"], running_count(1))
        assert (after["pid"], after["restart_count"]) == (before["pid"], 0)

        assert await asyncio.to_thread(stack.stop) == 0
        assert list(stack._all()) == []


async def test_everything_killed_at_once_goes_on_from_its_data() -> None:
    async with running() as stack:
        await until((stack.state / "admin-key").exists)
        for process in list(stack._all()):
            process.kill()
        assert stack.process is not None
        stack.process.wait()
        await stack.start()
        async with stack.client() as client:
            names = [key["name"] for key in (await client.get("/v2/api-keys")).json()["items"]]
        assert "e2e" in names


async def test_a_part_that_dies_is_started_again_and_said() -> None:
    async with running() as stack:
        assert stack.kill("modelyard_gateway") > 0
        await until(lambda: "gateway was ended by SIGKILL; started again in 0.5 s" in stack.said())
        async with asyncio.timeout(30), httpx.AsyncClient() as client:
            while True:
                try:
                    if (await client.get(f"{stack.gateway_url}/healthz")).is_success:
                        break
                except httpx.HTTPError:
                    await asyncio.sleep(0.02)


def test_a_busy_port_leaves_nothing_running(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    with socket.create_server(("127.0.0.1", stack.nats_port)):
        done = subprocess.run(stack.command(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"Port {stack.nats_port}, which the event log needs, is in use" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert done.stdout == f"Modelyard keeps its data in {stack.state}\n"
    assert list(stack._all()) == []
