"""Postgres: a bounded pool for queries, and single connections for those who hold a lock or listen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg
from sqlalchemy import URL
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

CONNECT_S = 5.0
QUERY_S = 30.0

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server hung up between two commands
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""What asyncpg raises when the server is away rather than the query wrong."""


NOT_YET = ("42P01", "57P01", "57P02", "57P03", "53300")
"""No such table (the projections make it), shutting down, crashed, starting up, too many connections."""


class DatabaseUnavailable(Exception):
    """Postgres does not answer; asking again later may help."""


def engine_url(url: str) -> URL:
    """`postgresql://user:password@host/name`, or with `?host=/directory` for a unix socket."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    return URL.create(
        "postgresql+asyncpg",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        host=query.pop("host", None) or parts.hostname,
        port=int(query.pop("port", 0)) or parts.port or 5432,
        database=parts.path.lstrip("/") or None,
        query=query,
    )


class Database:
    def __init__(self, url: str, pool_size: int = 10) -> None:
        self._url = engine_url(url)
        self._connect_args: dict[str, Any] = {"timeout": CONNECT_S, "command_timeout": QUERY_S}
        self.engine: AsyncEngine = create_async_engine(
            self._url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=CONNECT_S,
            connect_args=self._connect_args,
        )

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose reads all see one moment. Raises `DatabaseUnavailable`."""
        async with self._connected("REPEATABLE READ") as connection:
            yield connection

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one query, without a transaction around it. Raises `DatabaseUnavailable`."""
        async with self._connected("AUTOCOMMIT") as connection:
            yield connection

    @asynccontextmanager
    async def _connected(self, isolation_level: IsolationLevel) -> AsyncIterator[AsyncConnection]:
        try:
            async with self.engine.connect() as connection:
                await connection.execution_options(isolation_level=isolation_level)
                yield connection
        except (InterfaceError, OperationalError, PoolTimeout, *AWAY) as error:
            raise DatabaseUnavailable("the database does not answer") from error
        except DBAPIError as error:
            if error.connection_invalidated or getattr(error.orig, "sqlstate", None) in NOT_YET:
                raise DatabaseUnavailable("the database does not answer, or has no tables yet") from error
            raise

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        """A connection of one's own, beside the pool. Raises `DatabaseUnavailable`."""
        connection: Any = None
        try:
            connection = await asyncpg.connect(
                host=self._url.host,
                port=self._url.port,
                user=self._url.username,
                password=self._url.password,
                database=self._url.database,
                **self._connect_args,
            )
            yield connection
        except AWAY as error:
            raise DatabaseUnavailable("the database does not answer") from error
        finally:
            if connection is not None:
                await _end(connection)

    async def close(self) -> None:
        await self.engine.dispose()


async def _end(connection: Any) -> None:
    try:
        async with asyncio.timeout(1):
            await connection.close(timeout=1)
    except AWAY:
        connection.terminate()
