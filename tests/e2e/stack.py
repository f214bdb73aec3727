"""The whole product, as a newcomer starts it: `modelyard up` in its own directory, with short intervals."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from conftest import free_port

Json = dict[str, Any]

FAST = {
    "MODELYARD_HEARTBEAT_S": "0.3",
    "MODELYARD_SILENT_AFTER_S": "2",
    "MODELYARD_WORKER_GRACE_S": "60",  # longer than an agent takes to come back on a busy machine
    "MODELYARD_RECONCILE_S": "1",
    "MODELYARD_RESTART_BASE_S": "0.5",
    "MODELYARD_RESTART_MAX_S": "4",
    "MODELYARD_STOP_GRACE_S": "5",
    "MODELYARD_LOG_LEVEL": "INFO",
}


@dataclass
class Stack:
    """One installation under `directory`. `start` again continues from what is there."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    api_port: int = field(default_factory=free_port)
    gateway_port: int = field(default_factory=free_port)
    nats_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    key: str = ""

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "modelyard_cli", "up"),
            *("--state-dir", str(self.state)),
            *("--api-port", str(self.api_port)),
            *("--gateway-port", str(self.gateway_port)),
            *("--nats-port", str(self.nats_port)),
            *self.arguments,
        ]

    async def start(self, seconds: float = 60) -> None:
        self.launch()
        await self.wait_until_ready(seconds)

    def launch(self) -> None:
        log = (self.directory / "up.log").open("ab")
        self.process = subprocess.Popen(
            self.command(),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **FAST, **self.environment},
            start_new_session=True,
        )
        log.close()

    def said(self) -> str:
        return (self.directory / "up.log").read_text()

    async def wait_until_ready(self, seconds: float = 60) -> None:
        """Until api, gateway and the worker are ready and a key for the rest of the test is at hand."""
        async with asyncio.timeout(seconds), httpx.AsyncClient() as client:
            for url in (self.api_url, self.gateway_url):
                while not await _answers(client, f"{url}/readyz"):
                    self.check_alive()
                    await asyncio.sleep(0.05)
        if not self.key:
            await self.make_key()
        async with asyncio.timeout(seconds), self.client() as client:
            while not await self._worker_is_ready(client):
                self.check_alive()
                await asyncio.sleep(0.05)

    @staticmethod
    async def _worker_is_ready(client: httpx.AsyncClient) -> bool:
        try:
            workers = (await client.get("/v2/workers")).json()["items"]
        except (httpx.HTTPError, KeyError):
            return False
        return any(worker["state"] == "ready" for worker in workers)

    def check_alive(self) -> None:
        assert self.process is not None
        assert self.process.poll() is None, f"up ended: {self.said()[-3000:]}"

    async def make_key(self) -> None:
        async with httpx.AsyncClient(base_url=self.api_url, timeout=20) as client:
            password = (self.state / "initial-password").read_text().strip()
            login = await client.post("/auth/login", json={"username": "admin", "password": password})
            assert login.status_code == 200, login.text
            token = login.json()["access_token"]
            made = await client.post(
                "/v2/api-keys", json={"name": "e2e"}, headers={"Authorization": f"Bearer {token}"}
            )
            assert made.status_code == 200, made.text
            self.key = made.json()["value"]

    def shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command line, as someone with a key uses it."""
        return subprocess.run(
            [sys.executable, "-m", "modelyard_cli", *words],
            env={**os.environ, "MODELYARD_URL": self.api_url, "MODELYARD_API_KEY": self.key},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def client(self, url: str | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=url or self.api_url, timeout=30, headers={"Authorization": f"Bearer {self.key}"}
        )

    def stop(self, *, number: int = signal.SIGINT, seconds: float = 30) -> int:
        """Asks `up` to end and gives its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def processes(self, word: str) -> list[psutil.Process]:
        """The processes of this installation that run the program or module of that name."""
        return [
            process for process in self._all() if word in [Path(part).name for part in _command_of(process)]
        ]

    def kill(self, word: str) -> int:
        """kill -9 of one service; says how many processes that were."""
        found = self.processes(word)
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return len(found)

    def _all(self) -> Iterable[psutil.Process]:
        mark = str(self.directory)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                if process.pid == os.getpid():
                    continue
                if process.environ().get("MODELYARD_E2E") == mark or mark in " ".join(process.cmdline()):
                    yield process

    def end_everything(self) -> None:
        """Nothing of a test stays behind, whatever it did."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self.process is not None:
            self.process.wait(10)


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url, timeout=2)).status_code == 200
    except httpx.HTTPError:
        return False


@contextlib.asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Stack]:
    """A fresh installation, of which nothing is left afterwards.

    Its directory is not pytest's: where tests run as root, Postgres runs as another user, who must be able
    to pass through.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-e2e-", ignore_cleanup_errors=True) as made:
        directory = Path(made)
        directory.chmod(0o711)
        stack = Stack(directory, **options)
        stack.environment = {**stack.environment, "MODELYARD_E2E": str(directory)}
        try:
            await stack.start()
            yield stack
        finally:
            await asyncio.to_thread(stack.end_everything)


# --- what tests say of a running stack ------------------------------------------------------------


async def deploy(client: httpx.AsyncClient, path: Path, name: str, **fields: Any) -> Json:
    body = {"name": name, "source": "local_path", "local_path": str(path), **fields}
    answer = await client.post("/v2/models", json=body)
    assert answer.status_code == 200, answer.text
    made: Json = answer.json()
    return made


async def instances(client: httpx.AsyncClient, model_id: int) -> list[Json]:
    answer = await client.get("/v2/model-instances", params={"model_id": model_id, "page": -1})
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def until_instances(
    client: httpx.AsyncClient,
    model_id: int,
    condition: Callable[[list[Json]], bool],
    seconds: float = 60,
) -> list[Json]:
    """Polls until the deployment's instances are as wanted; the last picture is in the failure."""
    seen: list[Json] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                seen = await instances(client, model_id)
                if condition(seen):
                    return seen
                await asyncio.sleep(0.05)
    except TimeoutError:
        brief = [(item["name"], item["state"], item["state_message"]) for item in seen]
        raise AssertionError(f"not so after {seconds} s: {brief}") from None


def running_count(count: int) -> Callable[[list[Json]], bool]:
    return lambda items: len(items) == count and all(item["state"] == "running" for item in items)


async def chat(client: httpx.AsyncClient, model: str, **fields: Any) -> httpx.Response:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Say something."}],
        "max_tokens": 4,
        "temperature": 0,
        **fields,
    }
    return await client.post("/v1/chat/completions", json=body)


async def story(client: httpx.AsyncClient, subject: str) -> list[Json]:
    """Every event of a subject's story, oldest first."""
    answer = await client.get("/v2/events", params={"subject": subject, "limit": 1000})
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def frames(response: httpx.Response) -> AsyncIterator[Json]:
    """The frames of a watch: bare JSON documents with blank lines between."""
    async for line in response.aiter_lines():
        if line.strip():
            yield json.loads(line)
