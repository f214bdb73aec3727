"""Load on a proxy and what it costs: wrk for requests, whose bodies differ in their lengths as real ones
do, and a small client for streams."""

import asyncio
import contextlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import httptools
from bench.gateway.contenders import Contender
from bench.gateway.streamer import asking

BODY = (
    '{"model":"tiny","messages":[{"role":"system","content":"You are a helpful assistant."},'
    '{"role":"user","content":"Say something about the weather of tomorrow."}],"max_tokens":64,"user":"USER"}'
)

NUMBER = re.compile(rb'"content": ?" (\d{6})"').findall


@dataclass(frozen=True, slots=True)
class Requests:
    cpu_us: float
    per_s: float
    latency_us: float
    failed: int


@dataclass(frozen=True, slots=True)
class Streams:
    cpu_us: float
    chunks: int
    lost: int


def cpu_s(pids: list[int]) -> float:
    """User and system time of processes with all their threads, from the scheduler's own count."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_bytes(pids: list[int]) -> int:
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(found[1]) * 1024 for text in texts if (found := re.search(r"VmRSS:\s+(\d+) kB", text)))


def requests(contender: Contender, directory: Path, *, connections: int, seconds: int) -> Requests:
    script = directory / "post.lua"
    script.write_text(
        'wrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        f'wrk.headers["Authorization"] = "Bearer {contender.key}"\n'
        f"local body, requests, n = [[{BODY}]], {{}}, 0\n"
        "init = function(args)\n"
        "  for i = 1, 300 do\n"
        '    requests[i] = wrk.format(nil, nil, nil, (body:gsub("USER", string.rep("u", i))))\n'
        "  end\n"
        "end\n"
        "request = function() n = n % 300 + 1; return requests[n] end\n"
    )
    url = f"http://127.0.0.1:{contender.port}/v1/chat/completions"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    before = cpu_s(contender.pids)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = cpu_s(contender.pids) - before
    done = int(_found(r"(\d+) requests in", said))
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    value, unit = re.search(r"Latency\s+([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr]
    return Requests(
        cpu_us=used / max(1, done) * 1e6,
        per_s=float(_found(r"Requests/sec:\s+([\d.]+)", said)),
        latency_us=float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit],
        failed=int(failed[1]) if failed else 0,
    )


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"wrk did not say {pattern}: {text}")
    return found[1]


class StreamClient(asyncio.Protocol):
    """Asks for one stream and checks its events as they come: none is missing, doubled or out of turn."""

    transport: asyncio.Transport

    def __init__(self, request: bytes, chunks: int) -> None:
        self._request = request
        self._chunks = chunks
        self._parser = httptools.HttpResponseParser(self)
        self._unread = b""
        self._done = False
        self.seen = 0
        """Events in their order."""
        self.broken = False
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    def whole(self) -> bool:
        return self._done and not self.broken and self.seen == self._chunks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        self.begun.set()

    def on_body(self, data: bytes) -> None:
        events, end, self._unread = (self._unread + data).rpartition(b"\n\n")
        for number in NUMBER(events):
            self.broken |= int(number) != self.seen
            self.seen += 1
        self._done |= b"[DONE]" in events if end else False

    def on_message_complete(self) -> None:
        self.ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
        self.begun.set()


async def open_streams(
    contender: Contender, count: int, *, chunks: int, interval_ms: int
) -> list[StreamClient]:
    body = BODY.replace('"max_tokens"', '"stream":true,"max_tokens"')
    body = body.replace("Say something", asking(chunks, interval_ms))
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {contender.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(count):
        _, client = await loop.create_connection(
            lambda: StreamClient(request, chunks), "127.0.0.1", contender.port
        )
        clients.append(client)
    return clients


async def streams(contender: Contender, count: int, *, chunks: int, interval_ms: int) -> Streams:
    """Streams from their requests to their ends, each checked for lost and reordered chunks."""
    before = cpu_s(contender.pids)
    clients = await open_streams(contender, count, chunks=chunks, interval_ms=interval_ms)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(chunks * interval_ms / 1000 * 10 + 60):
            for client in clients:
                await client.ended.wait()
    used = cpu_s(contender.pids) - before
    lost = sum(not client.whole() for client in clients)
    for client in clients:
        client.transport.close()
    return Streams(cpu_us=used / (count * chunks) * 1e6, chunks=count * chunks, lost=lost)


async def idle_stream_bytes(contender: Contender, count: int) -> float:
    """Memory per stream that is open and says nothing."""
    before = resident_bytes(contender.pids)
    clients = await open_streams(contender, count, chunks=0, interval_ms=0)
    async with asyncio.timeout(60):
        for client in clients:
            await client.begun.wait()
    after = resident_bytes(contender.pids)
    for client in clients:
        client.transport.close()
    return (after - before) / count
