"""A gateway with a log to feed it, model servers to send to, and a client to ask it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from modelyard_contracts.base import Event
from modelyard_eventlog.log import EventLog, Write
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_gateway.main import Gateway
from modelyard_gateway.settings import GatewaySettings
from modelyard_gateway.subscribers.follow import follow
from modelyard_gateway_facts import cause, created_key, route, running
from modelyard_runtime import keys
from starlette.types import ASGIApp, Receive, Scope, Send
from waiting import until

API_KEY = keys.generate()
TEST_SETTINGS = GatewaySettings(
    connect_timeout_s=2, idle_timeout_s=10, skip_failed_s=30, shutdown_grace_s=5, max_body_bytes=300_000
)


def bound(*, listening: bool = True) -> socket.socket:
    """A socket on a free port of loopback; one that does not listen refuses connections."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found.bind(("127.0.0.1", 0))
    if listening:
        found.listen(128)
    return found


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


@contextlib.contextmanager
def dead_port() -> Iterator[int]:
    """A port that refuses connections for as long as this is open."""
    with bound(listening=False) as taken:
        yield port_of(taken)


@contextlib.asynccontextmanager
async def serving(server: uvicorn.Server) -> AsyncIterator[int]:
    """Runs a server in this loop; gives its port."""
    listener = bound()
    running_server = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started)
    try:
        yield port_of(listener)
    finally:
        server.should_exit = True
        await running_server


def plain_server(app: ASGIApp) -> uvicorn.Server:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, ws="none", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    return server


@dataclass
class Seen:
    """One request as a model server got it. `target` is path and query, byte for byte."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    chunks: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: str) -> list[str]:
        return [value.decode("latin-1") for key, value in self.headers if key == name.encode()]


Behaviour = Callable[["ModelServer", Seen, Receive, Send], Awaitable[None]]


async def echo(server: "ModelServer", seen: Seen, receive: Receive, send: Send) -> None:
    """Reads the request and says which server answers."""
    await read_body(seen, receive)
    body = json.dumps({"server": server.name, "got": len(seen.body)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(seen: Seen, receive: Receive) -> None:
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        if message.get("body"):
            seen.chunks.append(message["body"])
        if not message.get("more_body"):
            return


class ModelServer:
    """Stands for a model server: notes each request, then does as `behave` says."""

    def __init__(self, name: str, behave: Behaviour = echo) -> None:
        self.name = name
        self.behave = behave
        self.seen: list[Seen] = []
        self.hung_up = asyncio.Event()
        """A client went away before its answer was whole (set by behaviours that look)."""
        self.go_on = asyncio.Event()
        self.port = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query: bytes = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        seen = Seen(scope["method"], target, list(scope["headers"]))
        self.seen.append(seen)
        await self.behave(self, seen, receive, send)


@dataclass
class World:
    log: InMemoryEventLog
    gateway: Gateway
    client: httpx.AsyncClient
    port: int
    feeding: asyncio.Task[None] | None = None

    async def happen(self, *events: Event) -> None:
        """Appends to the log; returns when the gateway knows."""
        await append(self.log, *events)
        end = (await self.log.position()).last_seq
        if self.feeding is not None:
            await until(lambda: self.gateway.table.seq >= end)

    async def start_feeding(self) -> None:
        self.feeding = asyncio.create_task(follow(self.log, self.gateway.table, self.gateway.readiness))
        await until(lambda: self.gateway.readiness.caught_up)

    async def lose_log(self) -> None:
        assert self.feeding is not None
        self.feeding.cancel()
        await asyncio.wait({self.feeding})
        self.feeding = None

    async def chat(self, model: str = "tiny", **more: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
        return await self.client.post("/v1/chat/completions", json=body)


async def append(log: EventLog, *events: Event) -> None:
    for event in events:
        ident = (await log.position()).last_seq + 1
        await log.append([Write(event, None)], cause(f"test-{ident}"))


def a_key(key_id: int = 1, key: keys.ApiKey = API_KEY, **more: Any) -> Event:
    return created_key(key_id, access_key=key.access_key, secret_hash=keys.hash_secret(key), **more)


@contextlib.asynccontextmanager
async def gateway_world(
    *, fed: bool = True, settings: GatewaySettings = TEST_SETTINGS
) -> AsyncIterator[World]:
    """A gateway that listens, knows one key, and whose client has it."""
    gateway = Gateway(settings)
    log = InMemoryEventLog()
    async with listening(gateway) as port:
        client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {API_KEY.text()}"},
            timeout=20,
            trust_env=False,
        )
        world = World(log, gateway, client, port)
        async with client:
            await world.happen(a_key())
            if fed:
                await world.start_feeding()
            try:
                yield world
            finally:
                if world.feeding is not None:
                    await world.lose_log()


@contextlib.asynccontextmanager
async def listening(gateway: Gateway) -> AsyncIterator[int]:
    """Runs a gateway in this loop; gives its port."""
    listener, stop = bound(), asyncio.Event()
    serving_gateway = asyncio.create_task(gateway.serve(listener, stop))
    try:
        yield port_of(listener)
    finally:
        stop.set()
        await serving_gateway


@contextlib.asynccontextmanager
async def model_servers(*servers: ModelServer) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for server in servers:
            server.port = await stack.enter_async_context(serving(plain_server(server)))
        yield


@contextlib.asynccontextmanager
async def one_model(
    world: World, *, generic_proxy: bool = True, route_id: int = 42
) -> AsyncIterator[ModelServer]:
    """The model `tiny` with one instance, number 10."""
    server = ModelServer("ten")
    async with model_servers(server):
        await world.happen(
            route(route_id, "tiny", generic_proxy=generic_proxy), running(10, port=server.port)
        )
        yield server


async def raw_exchange(world: World, head: bytes) -> bytes:
    """Sends a request line (and headers) as they are, with the good key; gives all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    authorization = f"Authorization: Bearer {API_KEY.text()}".encode()
    writer.write(head + b"\r\nHost: gateway\r\n" + authorization + b"\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error body, checked for OpenAI's shape."""
    assert set(response.json()) == {"error"}
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    return error
