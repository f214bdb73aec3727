"""Who is still being served: connections to a model server that others than this agent hold open."""

import asyncio
from contextlib import suppress

import psutil

from modelyard_worker_agent.ports import Listening


class TcpConnections:
    async def open_to(self, at: Listening) -> int:
        """A client that keeps its connection for later counts until it lets it go."""
        return await asyncio.to_thread(_count, at.port)


def _count(port: int) -> int:
    theirs = [c for c in psutil.net_connections("tcp") if _established(c) and c.laddr.port == port]
    own = set()
    with suppress(psutil.Error):
        own = {c.laddr for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == port}
    return sum(1 for connection in theirs if connection.raddr not in own)


def _established(connection: object) -> bool:
    return bool(getattr(connection, "status", None) == psutil.CONN_ESTABLISHED)
