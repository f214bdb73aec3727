"""What a joining agent meets: an api that answers as told, and a nats-server that asks for credentials."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from conftest import NatsServer, free_port
from modelyard_contracts.join import JoinAnswer, JoinRequest
from modelyard_eventlog.credentials import (
    NatsKeys,
    mint_worker_jwt,
    new_keys,
    server_config,
    service_credentials,
)
from modelyard_runtime.secrets import Sealer
from modelyard_runtime.settings import NatsSettings
from modelyard_worker_agent_world import WORKER

Answer = Callable[[JoinRequest], tuple[int, str]]


@dataclass
class Api:
    answer: Answer
    port: int = field(default_factory=free_port)
    asked: list[JoinRequest] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def serving(self) -> Iterator["Api"]:
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            api.asked.append(JoinRequest.model_validate_json(body))
            api.tokens.append(self.headers.get("Authorization"))
            status, text = api.answer(api.asked[-1])
            self.send_response(status if self.path == "/v2/workers" else 404)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

    return Handler


def refusing(request: JoinRequest) -> tuple[int, str]:
    return 401, '{"code": 401, "reason": "Unauthorized", "message": "the join token is not the right one"}'


@dataclass
class GuardedNats(NatsServer):
    """Admits whom `keys` signed for and nobody else."""

    keys: NatsKeys = field(default_factory=new_keys)
    sealer_key: str = field(default_factory=Sealer.new_key)

    def start(self) -> None:
        config = self.directory / "nats.conf"
        store = self.directory / "js"
        config.write_text(server_config(self.keys, host="127.0.0.1", port=self.port, store_dir=store))
        binary = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"
        with (self.directory / "nats.log").open("ab") as log:
            self.process = subprocess.Popen([binary, "-c", str(config)], stdout=log, stderr=log)

    def service_settings(self) -> NatsSettings:
        path = self.directory / "service.creds"
        path.write_text(service_credentials(self.keys.account_seed, "service"))
        return NatsSettings(nats=self.url, nats_credentials=path)

    def joined(self, public_key: str, *, for_s: float, worker_id: int = WORKER) -> JoinAnswer:
        """The answer to a join, with credentials that are good so long."""
        expires_at = datetime.now(UTC) + timedelta(seconds=for_s)
        return JoinAnswer(
            worker_id=worker_id,
            name="box",
            nats_url=self.url,
            nats_jwt=mint_worker_jwt(self.keys.account_seed, public_key, worker_id, expires_at),
            nats_jwt_expires_at=expires_at,
            secret_key=self.sealer_key,
        )

    def admitting(self, *, for_s: float, worker_id: int = WORKER) -> Answer:
        """An api that mints such credentials."""
        return lambda request: (
            200,
            self.joined(request.public_key, for_s=for_s, worker_id=worker_id).model_dump_json(),
        )
