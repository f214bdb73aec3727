"""Writes the read models: rows, change feed and checkpoint in one transaction per batch."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from modelyard_eventlog.log import AnyRecorded

from modelyard_api.projections import changes, checkpoints
from modelyard_api.projections.changes import Change
from modelyard_api.projections.checkpoints import SCHEMA_VERSION, Checkpoint
from modelyard_api.projections.folding import BY_RESOURCE, READ_MODELS, Picture
from modelyard_api.projections.rows import (
    BASE_COLUMNS,
    MaskEnv,
    ReadModel,
    Row,
    metadata,
    row_of,
    upsert_sql,
    values_of,
)
from modelyard_api.projections.schema import remake_tables


class ReadModelSink:
    name = changes.GROUP
    version = SCHEMA_VERSION

    def __init__(self, mask_env: MaskEnv, keep_changes: int, far_behind: int) -> None:
        self._mask_env = mask_env
        self._keep = keep_changes
        self._far_behind = far_behind
        self.tables = [changes.TABLE, *(metadata.tables[model.table_name] for model in READ_MODELS)]
        self._picture = Picture(mask_env)
        self._hold_until = 0
        """Up to here events are only folded in memory; the feed does not have them."""
        self._from_scratch = False

    async def start_over(self, connection: Any, reason: str, *, remake: bool) -> None:
        """The old rows stay readable until the new ones are complete, unless their tables have changed."""
        if remake:
            await remake_tables(connection, self.tables)

    async def load(self, connection: Any, checkpoint: Checkpoint, last_seq: int) -> None:
        self._picture = Picture(self._mask_env)
        self._from_scratch = checkpoint.seq == 0
        behind = last_seq - checkpoint.seq
        held = behind > self._far_behind or (self._from_scratch and behind > 0)
        self._hold_until = last_seq if held else 0
        if self._from_scratch:
            if not held:
                async with connection.transaction():
                    await _empty(connection)
            return
        for model in READ_MODELS:
            names = ", ".join(BASE_COLUMNS)
            query = f"SELECT {names} FROM {model.table_name} WHERE removed_at IS NULL"  # noqa: S608
            self._picture.load(model, (row_of(record) for record in await connection.fetch(query)))

    async def write(self, connection: Any, events: list[AnyRecorded], old: Checkpoint) -> Checkpoint:
        held = events[0].seq <= self._hold_until
        found: list[Change] = []
        for event in events:
            if held:
                self._picture.fold(event)
            else:
                found += self._picture.apply(event)
        last = events[-1]
        if last.seq < self._hold_until:
            return old
        floor = last.seq if held else self._floor(old, last.seq)
        new = replace(old, seq=last.seq, event_id=last.id, floor=floor)
        async with connection.transaction():
            if held:
                await self._replace(connection)
            else:
                await self._upsert(connection)
                if found:
                    await connection.executemany(changes.INSERT, [change.values() for change in found])
                if floor != old.floor:
                    await connection.execute("DELETE FROM changes WHERE seq <= $1", floor)
            await checkpoints.advance(connection, self.name, old, new)
        self._picture.touched.clear()
        self._from_scratch = False
        return new

    def _floor(self, old: Checkpoint, seq: int) -> int:
        """Prunes a tenth at a time."""
        excess = seq - old.floor - self._keep
        return seq - self._keep if excess > self._keep // 10 else old.floor

    async def _upsert(self, connection: Any) -> None:
        for model, rows in by_model(self._picture.touched.items()):
            await connection.executemany(upsert_sql(model), [values_of(model, row) for row in rows])

    async def _replace(self, connection: Any) -> None:
        """Many rows at once: out with the old ones, in by COPY."""
        if self._from_scratch:
            await _empty(connection)
        await connection.execute("DELETE FROM changes")
        for model, rows in by_model(self._picture.touched.items()):
            if not self._from_scratch:
                ids = [row.id for row in rows]
                await connection.execute(
                    f"DELETE FROM {model.table_name} WHERE id = ANY($1::bigint[])",  # noqa: S608
                    ids,
                )
            await connection.copy_records_to_table(
                model.table_name,
                records=[values_of(model, row) for row in rows],
                columns=[*BASE_COLUMNS, *model.columns],
            )


def by_model(touched: Iterable[tuple[tuple[str, int], Row]]) -> list[tuple[ReadModel, list[Row]]]:
    rows: dict[str, list[Row]] = {}
    for (resource, _), row in touched:
        rows.setdefault(resource, []).append(row)
    return [(BY_RESOURCE[resource], found) for resource, found in rows.items()]


async def _empty(connection: Any) -> None:
    # not TRUNCATE: who reads at this moment keeps seeing the old rows
    for table in ("changes", *(model.table_name for model in READ_MODELS)):
        await connection.execute(f"DELETE FROM {table}")  # noqa: S608
