"""The compose stack on a real Docker engine, as `make test-compose` drives it."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from modelyard_runtime.trust import trusting

REPOSITORY = Path(__file__).parent.parent
FILES = REPOSITORY / "deploy" / "compose"
SOCKET = Path("/var/run/docker.sock")
PATIENCE_S = 300.0

Json = dict[str, Any]


def run(command: list[str]) -> str:
    """Its output. Raises AssertionError with all that it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def until(what: str, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.5)


@dataclass
class ComposeStack:
    """A project of its own with the committed files; only `.env` is the test's."""

    directory: Path
    project: str
    address: str
    """Address of this machine that containers of other networks reach it by."""
    api_port: int = field(default_factory=free_port)
    gateway_port: int = field(default_factory=free_port)
    nats_port: int = field(default_factory=free_port)
    secrets: dict[str, str] = field(default_factory=dict)
    key: str = ""

    @property
    def env_file(self) -> Path:
        return self.directory / "env"

    def configure(self, model: Path) -> None:
        models = self.directory / "models"
        models.mkdir()
        shutil.copy(model, models / "model.gguf")
        for path in (self.directory, models, models / "model.gguf"):
            path.chmod(0o755)
        values = {
            "PUBLIC_HOST": self.address,
            "BIND_ADDRESS": "0.0.0.0",
            "API_PORT": self.api_port,
            "GATEWAY_PORT": self.gateway_port,
            "NATS_PORT": self.nats_port,
            "MODELS": models,
            "DOCKER_GID": SOCKET.stat().st_gid,
            "MODELS_NETWORK": f"{self.project}-models",
            **{name: os.environ[name] for name in IMAGES if name in os.environ},
        }
        lines = (FILES / ".env.example").read_text() + "".join(f"{k}={v}\n" for k, v in values.items())
        self.env_file.write_text(lines)

    def compose(self, *arguments: str) -> str:
        base = shlex.split(os.environ.get("COMPOSE", "docker compose"))
        files = [
            word for name in ("compose.yaml", "compose.docker.yaml") for word in ("-f", str(FILES / name))
        ]
        return run([*base, *files, "--env-file", str(self.env_file), "-p", self.project, *arguments])

    def make_secrets(self) -> None:
        made = self.compose("run", "--rm", "-T", "keys", "compose", "secrets")
        with self.env_file.open("a") as file:
            file.write(made)
        self.secrets = dict(line.split("=", 1) for line in made.splitlines() if "=" in line)

    def container(self, service: str) -> str:
        return self.compose("ps", "-q", service).strip()

    def state(self, service: str) -> Json:
        found: Json = json.loads(run(["docker", "inspect", self.container(service)]))[0]
        return found

    def healthy(self, service: str) -> bool:
        return bool(self.state(service)["State"].get("Health", {}).get("Status") == "healthy")

    def wait_until_healthy(self, service: str) -> None:
        until(f"{service} is healthy", lambda: self.healthy(service))

    def kill(self, service: str) -> None:
        """As a crash does: the engine restarts nothing that it was itself asked to kill."""
        before = self.state(service)
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        restarts = before["RestartCount"]
        until(f"{service} is started again", lambda: self.state(service)["RestartCount"] > restarts)
        self.wait_until_healthy(service)

    def api(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.api_port}",
            verify=trusting(self.secrets["MODELYARD_CA"]) or True,
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            timeout=30,
            trust_env=False,
        )

    def log_in(self) -> None:
        body = {"username": "admin", "password": self.secrets["MODELYARD_BOOTSTRAP_PASSWORD"]}
        with self.api() as api:
            session = api.post("/auth/login", json=body).raise_for_status().json()["access_token"]
            made = api.post(
                "/v2/api-keys", json={"name": "test"}, headers={"Authorization": f"Bearer {session}"}
            )
        self.key = made.raise_for_status().json()["value"]

    def items(self, path: str) -> list[Json]:
        with self.api() as api:
            found: list[Json] = api.get(path).raise_for_status().json()["items"]
            return found

    def define_a_version(self) -> None:
        """Of llama.cpp, that runs in the worker's own image, as docs/compose.md has it."""
        document = (REPOSITORY / "docs" / "compose.md").read_text()
        (definition,) = re.findall(r"<<'YAML'\n(.*?)\nYAML", document, re.S)
        with self.api() as api:
            api.put(
                "/v2/inference-backends/from-yaml",
                content=definition,
                headers={"Content-Type": "application/yaml"},
            ).raise_for_status()

    def model_servers(self) -> list[Json]:
        """The containers that the worker started."""
        found = run(["docker", "ps", "-aq", "--filter", "label=modelyard.instance"]).split()
        containers: list[Json] = json.loads(run(["docker", "inspect", *found])) if found else []
        return [c for c in containers if c["HostConfig"]["NetworkMode"].startswith(self.project)]

    def deploy(self, name: str, *, on: dict[str, str] | None = None) -> None:
        """`on`: labels that its worker has."""
        body = {
            "name": name,
            "replicas": 1,
            "source": "local_path",
            "local_path": "/models/model.gguf",
            "backend": "llama.cpp",
            "backend_parameters": ["--threads=1"],
            "backend_version": "worker-custom",
            "worker_selector": on or {},
        }

        def deployed() -> bool:
            """A worker that has only just come cannot be asked yet if it has the file."""
            with self.api() as api:
                answer = api.post("/v2/models", json=body)
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                return False
            return answer.raise_for_status().is_success

        until("it is deployed", deployed)

    def answers(self, name: str) -> bool:
        body = {"model": name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{self.gateway_port}/v1/chat/completions",
                json=body,
                headers={"Authorization": f"Bearer {self.key}"},
                timeout=60,
                trust_env=False,
            )
        except httpx.HTTPError:
            return False
        return answer.is_success and bool(answer.json()["choices"][0]["message"]["content"])


IMAGES = ("PYTHON_IMAGE", "NATS_IMAGE", "POSTGRES_IMAGE")
"""Replaced where these variables of the environment say so."""
