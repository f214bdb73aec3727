"""What the local hub holds, what goes wrong with it on purpose, and how it answers."""

import hashlib
import re
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from json import dumps
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

PIECE_BYTES = 1 << 20
MODIFIED = "2026-05-01T12:00:00.000Z"


@dataclass
class HubRepo:
    files: Mapping[str, bytes]
    task: str | None = None
    tags: tuple[str, ...] = ()
    downloads: int = 10
    likes: int = 1
    token: str | None = None
    """Gated: only who shows this may read it."""
    hidden: bool = False
    """Answers as if it did not exist."""

    def commit(self) -> str:
        joined = b"".join(name.encode() + body for name, body in sorted(self.files.items()))
        return hashlib.sha1(joined, usedforsecurity=False).hexdigest()


@dataclass
class Trouble:
    """What goes wrong with every request whose path holds `path`."""

    path: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent instead of the right one."""
    pause_s: float = 0.0
    truncated: bool = False
    """The connection ends halfway through the body."""
    stalled: threading.Event | None = None
    """Halfway through the body no more comes; this is set then."""
    trickle_s: float = 0.0
    """Between pieces of the body, for as long as `times` is not 0."""
    times: int = 10**9

    def applies(self, path: str) -> bool:
        if self.path not in path or self.times <= 0:
            return False
        self.times -= 1
        return True


class Hub:
    def __init__(self, url: str) -> None:
        self.url = url
        self.repos: dict[str, HubRepo] = {}
        self.troubles: list[Trouble] = []
        self.asked: Counter[str] = Counter()
        self.tokens: list[str | None] = []
        self.bytes_sent = 0

    def add(self, repo: str, files: Mapping[str, bytes | Path], **facts: object) -> HubRepo:
        contents = {
            name: body.read_bytes() if isinstance(body, Path) else body for name, body in files.items()
        }
        self.repos[repo] = HubRepo(contents, **facts)  # type: ignore[arg-type]
        return self.repos[repo]

    def trouble(self, path: str, **what: object) -> Trouble:
        self.troubles.append(Trouble(path, **what))  # type: ignore[arg-type]
        return self.troubles[-1]


def safetensors(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """A real safetensors file of zeros: dtype and shape by name."""
    sizes = {"F32": 4, "BF16": 2, "F16": 2, "I8": 1}
    header: dict[str, object] = {}
    end = 0
    for name, (dtype, shape) in tensors.items():
        start, count = end, 1
        for side in shape:
            count *= side
        end = start + count * sizes[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    routes: Sequence["Route"]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        path, query = unquote(split.path), {key: values[-1] for key, values in parse_qs(split.query).items()}
        self.hub.asked[f"{self.command} {path}"] += 1
        self.hub.tokens.append(self.token())
        trouble = next((each for each in self.hub.troubles if each.applies(self.path)), None)
        if trouble is not None:
            time.sleep(trouble.pause_s)
            if trouble.status is not None:
                self._send(trouble.body or b"", trouble.status, trouble.headers)
                return
        self._trouble = trouble
        for pattern, answer in self.routes:
            match = pattern.fullmatch(path)
            if match:
                answer(self, query, **match.groupdict())
                return
        self.json({"error": "Not Found"}, 404)

    def token(self) -> str | None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if scheme == "Bearer" else None

    def json(self, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._send(dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def file(self, body: bytes, headers: Mapping[str, str]) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._send(body, 200, {**headers, "Accept-Ranges": "bytes"}, of_file=True)
            return
        start, last = int(wanted[1]), min(int(wanted[2] or len(body)), len(body) - 1)
        if start >= len(body):
            self._send(b"", 416, {"Content-Range": f"bytes */{len(body)}"})
            return
        part = {**headers, "Content-Range": f"bytes {start}-{last}/{len(body)}"}
        self._send(body[start : last + 1], 206, part, of_file=True)

    def _send(
        self, body: bytes, status: int, headers: Mapping[str, str] | None = None, *, of_file: bool = False
    ) -> None:
        trouble: Trouble | None = getattr(self, "_trouble", None)
        if trouble is not None and trouble.body is not None:
            body = trouble.body
        self.send_response(status)
        for name, value in {**(headers or {}), **(trouble.headers if trouble else {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if trouble is not None and trouble.stalled is not None:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            trouble.stalled.set()
            self.rfile.read(1)  # until the other side is gone
            self.close_connection = True
            return
        if trouble is not None and trouble.truncated:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.hub.bytes_sent += len(body) if of_file else 0
        try:
            for at in range(0, len(body), PIECE_BYTES):
                self.wfile.write(body[at : at + PIECE_BYTES])
                if trouble is not None and trouble.trickle_s and trouble.times:
                    time.sleep(trouble.trickle_s)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


Route = tuple[re.Pattern[str], Callable[..., None]]
REPO = r"(?P<repo>[^/]+/[^/]+)"
