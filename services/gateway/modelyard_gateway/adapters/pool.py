"""Connections to model servers that are kept for the next request."""

import asyncio
import ssl
from collections.abc import Callable

from modelyard_gateway.adapters.upstream import Kept, Receiver, UpstreamConnection
from modelyard_gateway.domain.headers import Known
from modelyard_gateway.domain.response_head import parse_response
from modelyard_gateway.domain.slot import Address

KEEPALIVE_S = 2.0
"""Shorter than the 5 s of llama.cpp's and uvicorn's servers, so that they do not close a connection
just as it is used again."""


class UpstreamPool:
    """`clock` is the loop's, in seconds; `tls` says whom to believe."""

    def __init__(self, clock: Callable[[], float], tls: ssl.SSLContext | None = None) -> None:
        self._clock = clock
        self._tls = tls
        self._heads = Known(parse_response)
        self._kept: dict[Address, Kept] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    def take(self, address: Address) -> UpstreamConnection | None:
        """The connection that was used last, if there is one."""
        kept = self._kept.get(address)
        while kept is not None and kept.idle:
            connection = kept.idle.pop()
            if not connection.transport.is_closing():
                connection.reused = True
                return connection
        return None

    def connect(self, address: Address, receiver: Receiver, timeout_s: float) -> asyncio.Task[None]:
        """Tells the receiver when it is done; cancelling the task gives it up."""
        task = asyncio.get_running_loop().create_task(self._connect(address, receiver, timeout_s))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return task

    async def _connect(self, address: Address, receiver: Receiver, timeout_s: float) -> None:
        """Certificates are checked against the system's authorities if no other context was given."""
        loop = asyncio.get_running_loop()
        if address.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self._kept.setdefault(address, Kept()), self._heads),
                    address.host,
                    address.port,
                    ssl=self._tls if address.tls else None,
                )
        except TimeoutError:
            receiver.connect_failed(f"no connection within {timeout_s} s")
        except OSError as error:
            receiver.connect_failed(error.strerror or str(error))
        else:
            receiver.connected(connection)

    def close_idle(self, older_than_s: float = KEEPALIVE_S) -> None:
        """To be called about once a second."""
        oldest = self._clock() - older_than_s
        for address, kept in tuple(self._kept.items()):
            while kept.idle and kept.idle[0].idle_since <= oldest:
                kept.idle.pop(0).transport.close()
            if not kept.open:
                del self._kept[address]

    async def aclose(self) -> None:
        for task in self._connecting:
            task.cancel()
        self.close_idle(older_than_s=-1.0)
