"""A small server of ours that answers as the api does, and keeps what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

KEY = "modelyard_a_b"


def model(ident: int, name: str, **fields: Any) -> Json:
    return {
        "id": ident,
        "name": name,
        "source": "local_path",
        "local_path": f"/models/{name}.gguf",
        "replicas": 1,
        "ready_replicas": 1,
        "description": None,
        "model_file": None,
        "meta": {},
        "backend": "llama.cpp",
        "backend_parameters": [],
        "env": {},
        "worker_selector": {},
        "worker_selector_expressions": [],
        "gpu_selector": None,
        "placement_strategy": "spread",
        "restart_on_error": True,
        "categories": ["llm"],
        **fields,
    }


def instance(ident: int, name: str, model_id: int, **fields: Any) -> Json:
    return {
        "id": ident,
        "name": name,
        "model_id": model_id,
        "model_name": "chat",
        "state": "running",
        "state_message": None,
        "worker_id": 9,
        "worker_name": "vm",
        "restart_count": 0,
        "failure_cause": None,
        "given_up": False,
        "backend_version": "b1",
        "injected_backend_parameters": [],
        "distributed_servers": None,
        "computed_resource_claim": None,
        "gpu_type": None,
        **fields,
    }


def route(ident: int, name: str, model_id: int) -> Json:
    target = {"model_id": model_id, "model_name": "chat", "provider_name": None}
    return {
        "id": ident,
        "name": name,
        "targets": 1,
        "ready_targets": 1,
        "generic_proxy": True,
        "route_targets": [target],
    }


def event(seq: int, kind: str, **data: Any) -> Json:
    return {
        "specversion": "1.0",
        "id": f"e{seq}",
        "type": kind,
        "subject": "deployment/1",
        "time": "2026-01-01T00:00:00Z",
        "sequence": seq,
        "actor": "user/1",
        "data": {"deployment_id": 1, **data},
    }


@dataclass
class FakeApi:
    models: list[Json] = field(default_factory=list)
    instances: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    logs: dict[int, str] = field(default_factory=dict)
    kept: dict[str, list[Json]] = field(default_factory=dict)
    """Of other resources."""
    asked: list[tuple[str, str, Json | None]] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, target: str, body: Json | None) -> tuple[int, Any]:
        self.asked.append((method, target, body))
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path == "/auth/login":
            assert body is not None
            known = body["password"] == "right"
            return (
                (200, {"access_token": KEY}) if known else refusal(401, "username or password is not right")
            )
        if method == "GET":
            return self._read(path, query)
        return self._write(method, path, body or {})

    def _read(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        parts = path.removeprefix("/v2/").split("/")
        if path == "/v2/users/me/hub-tokens":
            return 200, {"huggingface": True, "modelscope": False}
        if parts[0] == "model-sources":
            return refusal(404, f"{path} {query.get('path')}")
        if path == "/v2/events":
            found = [one for one in self.events if one["type"] in query.get("type", [one["type"]])]
            return 200, {"items": found[::-1] if query.get("order") == ["desc"] else found}
        if parts[0] == "model-instances" and parts[-1] == "logs":
            return 200, self.logs[int(parts[1])]
        if len(parts) == 3:
            return 200, listed([one for one in self.instances if one["model_id"] == int(parts[1])])
        if len(parts) == 2:
            return 200, next(one for one in self.models if one["id"] == int(parts[1]))
        kept = {**self.kept, "models": self.models, "model-instances": self.instances}.get(parts[0], [])
        word = query.get("search", [""])[0]
        return 200, listed([one for one in kept if word in one.get("name", word)])

    def _write(self, method: str, path: str, body: Json) -> tuple[int, Any]:
        if method == "DELETE" or path.startswith("/v2/users/me/hub-tokens/"):
            return 200, None
        if path == "/v2/api-keys":
            return 200, {"id": 4, "name": body["name"], "value": KEY}
        if path.endswith("/access"):
            items = [one for one in self.kept["users"] if {"id": one["id"]} in body["users"]]
            return 200, {"access_policy": body["access_policy"], "items": items}
        if path.endswith("/limits"):
            return 200, {"id": int(path.split("/")[3]), "limits": body}
        if method == "PUT" and path.startswith("/v2/workers/"):
            return 200, None
        if method == "PUT":
            changed = next(one for one in self.models if one["id"] == int(path.rsplit("/", 1)[1]))
            changed.update(body)
            return 200, changed
        if any(one["name"] == body["name"] for one in self.models):
            return refusal(409, f"name: {body['name']!r} is taken")
        made = {"id": len(self.models) + 1, "ready_replicas": 0, **body}
        self.models.append(made)
        return 200, made


def refusal(code: int, message: str) -> tuple[int, Json]:
    return code, {"code": code, "reason": "Refused", "message": message}


def listed(items: list[Json]) -> Json:
    return {"items": items, "pagination": {"page": 1, "perPage": 100, "total": len(items), "totalPage": 1}}


@contextmanager
def serving(fake: FakeApi) -> Iterator[FakeApi]:
    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            found: Any
            open_to_all = self.path.startswith("/auth/")
            if not open_to_all and self.headers.get("Authorization") != f"Bearer {KEY}":
                code, found = refusal(401, "no credential")
            else:
                code, found = fake.answer(self.command, self.path, body)
            sent = found.encode() if isinstance(found, str) else json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_DELETE = _handle

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
