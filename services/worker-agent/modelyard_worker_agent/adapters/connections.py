"""Who is still being served: connections to a model server that others than this agent hold open."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import psutil

from modelyard_worker_agent.ports import Listening

End = tuple[str, int]


class TcpConnections:
    async def open_to(self, at: Listening) -> int:
        """A client that keeps its connection for later counts until it lets it go."""
        return await asyncio.to_thread(_count, at)


def _count(at: Listening) -> int:
    own: set[End] = set()
    with suppress(psutil.Error):
        own = {tuple(c.laddr) for c in psutil.Process().net_connections("tcp") if c.raddr}
    seen = psutil.net_connections("tcp")
    pairs = [(tuple(c.laddr), tuple(c.raddr)) for c in seen if c.status == psutil.CONN_ESTABLISHED]
    return len(clients_of((at.host, at.port), pairs) - own)


def clients_of(server: End, connections: Iterable[tuple[End, End]]) -> set[End]:
    """Of connections as (here, there): the clients' ends of those to the server. One that is in a container
    is seen from the clients' side only, which is the relay's."""
    ours, theirs = set(), set()
    for here, there in connections:
        if here[1] == server[1]:
            ours.add(there)
        elif there == server:
            theirs.add(here)
    return ours | theirs
