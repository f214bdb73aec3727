"""Connections to model servers that are kept for the next request."""

import asyncio
from collections.abc import Callable

from modelyard_gateway.adapters.upstream import Receiver, UpstreamConnection
from modelyard_gateway.domain.headers import Known
from modelyard_gateway.domain.response_head import parse_response

Place = tuple[str, int, str | None]
"""Host, port and, behind a relay, the token that leads on."""
KEEPALIVE_S = 2.0
"""Shorter than the 5 s of llama.cpp's and uvicorn's servers, so that they do not close a connection
just as it is used again."""


class UpstreamPool:
    """`clock` is the loop's, in seconds."""

    def __init__(self, clock: Callable[[], float], *, connect_timeout_s: float) -> None:
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s
        self._heads = Known(parse_response)
        self._idle: dict[Place, list[UpstreamConnection]] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    def take(self, place: Place) -> UpstreamConnection | None:
        """The connection that was used last, if there is one."""
        idle = self._idle.get(place)
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                connection.reused = True
                return connection
        return None

    def connect(self, place: Place, receiver: Receiver) -> asyncio.Task[None]:
        """Tells the receiver when it is done; cancelling the task gives it up."""
        task = asyncio.get_running_loop().create_task(self._connect(place, receiver))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return task

    async def _connect(self, place: Place, receiver: Receiver) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self, self._heads, place), *place[:2]
                )
        except TimeoutError:
            receiver.connect_failed(f"no connection within {self._connect_timeout_s} s")
        except OSError as error:
            receiver.connect_failed(error.strerror or str(error))
        else:
            receiver.connected(connection)

    def keep(self, connection: UpstreamConnection) -> None:
        connection.idle_since = self._clock()
        idle = self._idle.get(connection.place)
        if idle is None:
            self._idle[connection.place] = [connection]
        else:
            idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        idle = self._idle.get(connection.place)
        if idle and connection in idle:
            idle.remove(connection)

    def close_idle(self, older_than_s: float = KEEPALIVE_S) -> None:
        """To be called about once a second."""
        oldest = self._clock() - older_than_s
        for place, idle in tuple(self._idle.items()):
            stale = [connection for connection in idle if connection.idle_since <= oldest]
            self._idle[place] = [connection for connection in idle if connection.idle_since > oldest]
            if not self._idle[place]:
                del self._idle[place]
            for connection in stale:
                connection.transport.close()

    async def aclose(self) -> None:
        for task in self._connecting:
            task.cancel()
        self.close_idle(older_than_s=-1.0)
