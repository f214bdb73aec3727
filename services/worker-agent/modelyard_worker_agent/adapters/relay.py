"""The relay of this machine: keeps its process there, and opens and closes the ways to model servers."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from modelyard_runtime.listening import listen
from modelyard_runtime.private_files import write_private
from modelyard_runtime.secrets import Sealer
from modelyard_runtime.settings import BadSettings

from modelyard_worker_agent.adapters.processes import own_environment
from modelyard_worker_agent.adapters.records import read_record
from modelyard_worker_agent.domain.relaying import is_numeric, known_as
from modelyard_worker_agent.launchers import shim
from modelyard_worker_agent.launchers.relay import RECORD
from modelyard_worker_agent.ports import Listening, Way

logger = structlog.stdlib.get_logger()

TOKEN = "relay.token"  # noqa: S105 - a file's name
"""Beside what is kept of a start: its token, sealed."""
HANDOVER_S = 5.0
BUILD = str(Path(shim.__file__).parent / "relay.py")


class Relay:
    """`address`: what other machines reach this one by; `port` 0: the one it had last, else a free one."""

    def __init__(self, directory: Path, *, address: str, port: int, sealer: Sealer) -> None:
        self._directory = directory
        self._address = address
        self._port = port
        self._sealer = sealer
        self._own: subprocess.Popen[bytes] | None = None

    def keep(self) -> None:
        """Starts it where it is not there, or is of another build. Blocks. Raises `BadSettings`."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._own is not None and self._own.poll() is not None:
            self._own = None
        record = self._record()
        if self._is_alive(record) and record["build"] == _build() and self._fits(record):
            return
        if self._is_alive(record):
            os.kill(record["pid"], signal.SIGTERM)
        with self._listener(int(record.get("port", 0))) as listener:
            self._start(listener)

    def end(self) -> None:
        record = self._record()
        if self._is_alive(record):
            os.kill(record["pid"], signal.SIGTERM)

    def address(self) -> tuple[str, int]:
        return self._address, int(self._record().get("port", 0))

    def open(self, run: Path, at: Listening) -> Way:
        """The way to the model server of a run; one token a run."""
        sealed = self._sealed(run)
        way = {"host": at.host, "port": at.port, "run": str(run)}
        write_private(self._way(self._sealer.unseal(sealed)), json.dumps(way))
        return Way(*self.address(), sealed)

    def close(self, run: Path) -> None:
        with suppress(OSError):
            self._way(self._sealer.unseal((run / TOKEN).read_text())).unlink(missing_ok=True)

    def ways(self) -> dict[Path, Path]:
        """The files that open them, by run."""
        return {Path(read_record(path).get("run", "")): path for path in self._directory.glob("*.way")}

    def _sealed(self, run: Path) -> str:
        with suppress(OSError):
            return (run / TOKEN).read_text()
        sealed = self._sealer.seal(secrets.token_urlsafe(32))
        write_private(run / TOKEN, sealed)
        return sealed

    def _way(self, token: str) -> Path:
        return self._directory / f"{known_as(token.encode())}.way"

    def _record(self) -> dict[str, Any]:
        return read_record(self._directory / RECORD)

    def _is_alive(self, record: dict[str, Any]) -> bool:
        return bool(record) and shim.start_ticks(record["pid"]) == record["started"] != 0

    def _fits(self, record: dict[str, Any]) -> bool:
        return bool(record["host"] == self._host() and self._port in (0, record["port"]))

    def _host(self) -> str:
        """Its own address where that is one of this machine's, else all: a name may mean several."""
        if not is_numeric(self._address):
            return "0.0.0.0"
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        with socket.socket(family) as tried:
            try:
                tried.bind((self._address, 0))
            except OSError:
                return "::" if family == socket.AF_INET6 else "0.0.0.0"
        return self._address

    def _listener(self, last: int) -> socket.socket:
        """One that goes lets go of its port at once, but not before it heard."""
        deadline = time.monotonic() + HANDOVER_S
        while True:
            try:
                return listen(self._host(), self._port or last, port_flag="--relay-port")
            except BadSettings:
                if time.monotonic() > deadline:
                    if self._port:
                        raise
                    return listen(self._host(), 0, port_flag="--relay-port")
            time.sleep(0.02)

    def _start(self, listener: socket.socket) -> None:
        command = [sys.executable, "-m", "modelyard_worker_agent.launchers.relay", str(self._directory)]
        with (self._directory / "relay.log").open("ab") as log:
            self._own = subprocess.Popen(
                [*command, str(listener.fileno())],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=own_environment(),
                start_new_session=True,
            )
        host, port = listener.getsockname()[:2]
        record: dict[str, Any] = {"pid": self._own.pid, "started": shim.start_ticks(self._own.pid)}
        record |= {"host": self._host(), "port": port, "build": _build()}
        write_private(self._directory / RECORD, json.dumps(record))
        logger.info("the relay for gateways listens", host=host, port=port)


def _build() -> str:
    """Another one after an upgrade."""
    return f"{BUILD}@{Path(BUILD).stat().st_mtime_ns}"
