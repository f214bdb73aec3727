"""Stands between gateways and the model servers of this machine, which others cannot reach.

    python -m modelyard_worker_agent.launchers.relay DIRECTORY DESCRIPTOR

Listens on the socket that it was started with. DIRECTORY has a file for each token that opens a way, named by
the token's hash, with the address of the model server. The first request of a connection says the token in
`X-Modelyard-Relay`; that line is taken out, and from there on bytes go both ways as they come. A process of
its own, since it outlives the agent, as model servers do. It ends when `relay.json` no longer names it: it
takes no more connections then, and those that it has go on to their end.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import uvloop

from modelyard_worker_agent.domain.relaying import NotOpened, known_as, opening

RECORD = "relay.json"
HEAD_S = 10.0
CONNECT_S = 5.0
LOOK_S = 5.0
DRAIN_LOOK_S = 0.2
BACKLOG = 1024


class Side(asyncio.Protocol):
    """One end: what it hears is said at the other."""

    transport: asyncio.Transport

    def __init__(self, other: "Side | None" = None) -> None:
        self.other = other
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.other is None or self.other.ended:
            return False
        self.other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        other, self.other = self.other, None
        if other is not None:
            other.other = None
            if exc is None:
                other.transport.close()
            else:
                other.transport.abort()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()


class Front(Side):
    """A gateway's end."""

    def __init__(self, relay: "Relay") -> None:
        super().__init__()
        self._relay = relay
        self._early = b""
        self._connecting: asyncio.Task[None] | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._relay.fronts.add(self)
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(HEAD_S, self._refuse, NotOpened(408, "no request came in time"))

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)
            return
        self._early += data
        if self._connecting is None and not self.transport.is_closing():
            try:
                self._open()
            except NotOpened as refusal:
                self._refuse(refusal)

    def _open(self) -> None:
        """Raises `NotOpened`."""
        found = opening(self._early)
        if found is None:
            return
        token, self._early = found
        address = self._relay.behind(token)
        if address is None:
            raise NotOpened(403, "this token opens nothing here")
        self._be_patient_no_more()
        self.transport.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect(address))

    async def _connect(self, address: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, back = await loop.create_connection(lambda: Side(self), *address)
        except (OSError, TimeoutError):
            self._refuse(NotOpened(503, "the model server does not accept connections"))
            return
        if self.ended:
            back.transport.abort()
            return
        self.other = back
        back.transport.write(self._early)
        self._early = b""
        self.transport.resume_reading()

    def _refuse(self, refusal: NotOpened) -> None:
        self._be_patient_no_more()
        body = json.dumps({"error": {"message": str(refusal), "type": "relay"}}).encode()
        head = f"HTTP/1.1 {refusal.status} Refused\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.transport.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()

    def _be_patient_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient_no_more()
        self._relay.fronts.discard(self)
        super().connection_lost(exc)


class Relay:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.fronts: set[Front] = set()

    def behind(self, token: bytes) -> tuple[str, int] | None:
        try:
            way = json.loads((self._directory / f"{known_as(token)}.way").read_text())
            return str(way["host"]), int(way["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    async def serve(self, listener: socket.socket) -> None:
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, asked.set)
        server = await loop.create_server(lambda: Front(self), sock=listener, backlog=BACKLOG)
        while not asked.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), LOOK_S)
            if not self._is_named():
                break
        server.close()
        while self.fronts:
            await asyncio.sleep(DRAIN_LOOK_S)

    def _is_named(self) -> bool:
        try:
            return bool(json.loads((self._directory / RECORD).read_text())["pid"] == os.getpid())
        except (OSError, ValueError, KeyError, TypeError):
            return False


def main(directory: Path, descriptor: int) -> int:
    listener = socket.socket(fileno=descriptor)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Relay(directory).serve(listener))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
