"""Against a local server that speaks the hub's protocol, with the real client of Hugging Face."""

import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_worker_agent.adapters.models import ModelStore
from modelyard_worker_agent.ports import DownloadFailed, ModelMissing

COMMIT = "a" * 40


@dataclass
class Hub:
    files: dict[str, bytes]
    server: ThreadingHTTPServer | None = None
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    stalled: threading.Event = field(default_factory=threading.Event)
    stall: bool = False

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def start(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(self.path.partition("?")[0])
            hub.asked.append(path)
            hub.tokens.add(self.headers.get("Authorization"))
            if path.startswith("/api/models/org/tiny"):
                listing = [{"rfilename": name, "size": len(data)} for name, data in hub.files.items()]
                body = {"id": "org/tiny", "sha": COMMIT, "siblings": listing, "private": False}
                self._answer(200, json.dumps({**body, "tags": [], "downloads": 0, "likes": 0}).encode())
                return
            name = path.removeprefix(f"/org/tiny/resolve/{COMMIT}/")
            if name not in hub.files:
                self._answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
                return
            if hub.stall and self.command == "GET":
                hub.stalled.set()
                threading.Event().wait(60)
            data = hub.files[name]
            etag = hashlib.sha256(data).hexdigest()
            self._answer(200, data, **{"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    made = Hub({"README.md": b"hi", "tiny-Q4_K_M.gguf": b"small model", "tiny-Q8_0.gguf": b"a bigger model"})
    made.start()
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.stop()


def spec(repo: str = "org/tiny", file: str | None = None) -> DeploymentSpec:
    return DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id=repo, huggingface_filename=file)


class Told:
    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1


async def test_the_file_is_fetched_and_the_download_told_once(hub: Hub, tmp_path: Path) -> None:
    told = Told()

    path = await ModelStore(tmp_path / "models").resolve(spec(file="*Q8*"), told)

    assert path.read_bytes() == b"a bigger model"
    assert path.is_relative_to(tmp_path / "models")
    assert told.times == 1


async def test_without_a_name_it_is_the_smallest_that_loses_little(hub: Hub, tmp_path: Path) -> None:
    path = await ModelStore(tmp_path).resolve(spec(), Told())

    assert path.name == "tiny-Q4_K_M.gguf"


async def test_the_token_of_the_environment_is_shown(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abc")

    await ModelStore(tmp_path).resolve(spec(), Told())

    assert "Bearer hf_abc" in hub.tokens


async def test_what_was_fetched_is_served_again_while_the_hub_is_away(hub: Hub, tmp_path: Path) -> None:
    first = await ModelStore(tmp_path).resolve(spec(file="*Q4*"), Told())
    hub.stop()
    told = Told()

    assert await ModelStore(tmp_path).resolve(spec(file="*Q4*"), told) == first
    assert told.times == 0
    hub.start()


async def test_what_was_deleted_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    (await ModelStore(tmp_path).resolve(spec(), Told())).unlink()

    assert (await ModelStore(tmp_path).resolve(spec(), Told())).read_bytes() == b"small model"


async def test_a_hub_that_is_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(DownloadFailed, match="org/tiny cannot be fetched from Hugging Face"):
        await ModelStore(tmp_path).resolve(spec(), Told())


async def test_a_repository_that_is_not_there_is_said(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="org/none"):
        await ModelStore(tmp_path).resolve(spec("org/none"), Told())


async def test_a_name_no_repository_can_have_is_said(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="a/b/c"):
        await ModelStore(tmp_path).resolve(spec("a/b/c"), Told())


async def test_a_file_that_is_not_there_is_said(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"tiny-Q4_K_M\.gguf"):
        await ModelStore(tmp_path).resolve(spec(file="*Q5*"), Told())


async def test_a_download_ends_with_the_wish_for_it(hub: Hub, tmp_path: Path) -> None:
    hub.stall = True
    fetching = asyncio.create_task(ModelStore(tmp_path).resolve(spec(), Told()))
    await asyncio.to_thread(hub.stalled.wait, 20)

    fetching.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(fetching, 5)
