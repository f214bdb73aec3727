"""Makes the tables. All of them hold what the log holds, so none is ever migrated: it is made anew."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Dialect, Table, create_mock_engine
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from modelyard_api.projections.checkpoints import lock_key

DIALECT: Dialect = create_mock_engine("postgresql+asyncpg://", lambda *_: None).dialect


async def make_tables(connection: Any, tables: Iterable[Table]) -> None:
    """Those that are not there yet; one process at a time."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_key("tables"))
        for table in tables:
            await connection.execute(str(CreateTable(table, if_not_exists=True).compile(dialect=DIALECT)))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                statement = CreateIndex(index, if_not_exists=True)
                await connection.execute(str(statement.compile(dialect=DIALECT)))


async def remake_tables(connection: Any, tables: Iterable[Table]) -> None:
    """Inside a transaction: drops them with all they hold, in whatever shape, and makes them anew."""
    kept = list(tables)
    for table in kept:
        await connection.execute(str(DropTable(table, if_exists=True).compile(dialect=DIALECT)))
    await make_tables(connection, kept)
