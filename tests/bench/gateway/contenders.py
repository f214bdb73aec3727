"""What is measured: nobody, nginx, ourselves; routers of others are in `rivals`."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import nats
from conftest import NatsServer, free_port
from modelyard_contracts.base import Event
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_gateway_facts import created_key, route, running
from modelyard_gateway_world import append
from modelyard_runtime import keys

ANSWER = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1760000000,"model":"tiny","choices":[{"index":0,'
    '"message":{"role":"assistant","content":"It will be sunny, with a light wind from the west."},'
    '"finish_reason":"stop"}],"usage":{"prompt_tokens":31,"completion_tokens":12,"total_tokens":43}}'
)
NGINX = """
worker_processes 1; daemon off; error_log stderr crit; pid {directory}/{name}.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
  scgi_temp_path {directory}/s;
  {http}
}}
"""
STUB = """
  server {{ listen 127.0.0.1:{port} backlog=4096; default_type application/json;
    location / {{ return 200 '{answer}'; }} }}
"""
PROXY = """
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s; }} }}
"""


@dataclass
class Contender:
    name: str
    port: int
    pids: list[int] = field(default_factory=list)
    key: str = "none"


def missing() -> str | None:
    """What this machine lacks, in a sentence."""
    absent = [name for name in ("nginx", "wrk") if shutil.which(name, path=_path()) is None]
    if not absent:
        return None
    return f"Not measured: {' and '.join(absent)} must be installed (apt-get install {' '.join(absent)})."


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin"


@contextlib.contextmanager
def process(
    command: list[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        started = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    try:
        yield started
    finally:
        started.terminate()
        started.wait()


def until_answers(port: int, path: str = "/", seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}{path}", timeout=2, trust_env=False).status_code < 500:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing answers on port {port}")


@contextlib.contextmanager
def nginx(directory: Path, name: str, http: str) -> Iterator[list[int]]:
    """Gives the process ids of its workers, which do the work."""
    config = directory / f"{name}.conf"
    config.write_text(NGINX.format(directory=directory, name=name, http=http))
    binary = shutil.which("nginx", path=_path()) or "nginx"
    with process([binary, "-c", str(config)], directory / f"{name}.log") as master:
        time.sleep(0.5)
        children = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text()
        yield [int(pid) for pid in children.split()]


@contextlib.contextmanager
def stub(directory: Path) -> Iterator[int]:
    port = free_port()
    with nginx(directory, "stub", STUB.format(port=port, answer=ANSWER)):
        until_answers(port)
        yield port


@contextlib.contextmanager
def streamer(directory: Path) -> Iterator[int]:
    port = free_port()
    with process([sys.executable, "-m", "bench.gateway.streamer", str(port)], directory / "streamer.log"):
        time.sleep(1)
        yield port


@contextlib.contextmanager
def nginx_proxy(directory: Path, upstream: int) -> Iterator[Contender]:
    port = free_port()
    with nginx(directory, f"proxy-{port}", PROXY.format(port=port, upstream=upstream)) as pids:
        yield Contender("nginx, plain proxy", port, pids)


@contextlib.asynccontextmanager
async def ourselves(
    directory: Path, upstream: int, *, flags: tuple[str, ...] = (), crowd: int = 0, name: str = "modelyard"
) -> AsyncIterator[Contender]:
    """`crowd`: how many instances of the model there are, and of other routes, and ten times that of keys."""
    place = directory / f"{name.replace(' ', '-').replace(',', '')}"
    place.mkdir()
    server = NatsServer(place)
    server.start()
    await server.wait_until_ready()
    key, port = keys.generate(), free_port()
    try:
        await _facts(server, key, upstream, crowd)
        command = [
            sys.executable,
            "-m",
            "modelyard_gateway",
            "--nats",
            server.url,
            "--port",
            str(port),
            *flags,
        ]
        with process(command, place / "gateway.log") as started:
            await asyncio.to_thread(until_answers, port, "/readyz", 120)
            children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
            yield Contender(name, port, [started.pid, *map(int, children)], key.text())
    finally:
        server.kill()


async def _facts(server: NatsServer, key: keys.ApiKey, upstream: int, crowd: int) -> None:
    events: list[Event] = [
        created_key(1, access_key=key.access_key, secret_hash=keys.hash_secret(key)),
        route(1, "tiny"),
        running(1, port=upstream),
    ]
    for n in range(2, crowd + 2):
        events += [running(n, port=upstream), route(n, f"model-{n}", deployment_id=n)]
        events += [created_key(10 * n + m, access_key=f"{10 * n + m:016x}") for m in range(10)]
    async with await nats.connect(server.url, pending_size=0) as client:
        await provision(client)
        await append(NatsEventLog(client), *events)
