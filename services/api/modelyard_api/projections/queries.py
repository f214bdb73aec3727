"""What the write side and the edge ask of the read models. All raise `DatabaseUnavailable`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from modelyard_contracts.base import Aggregate
from modelyard_contracts.deployments import Source
from sqlalchemy import Table, func, or_, select

from modelyard_api.adapters.database import Database
from modelyard_api.projections import accounts, clusters, deployments, instances, routes, workers
from modelyard_api.projections.folding import BY_AGGREGATE, BY_RESOURCE
from modelyard_api.projections.rows import ReadModel, View, metadata


@dataclass(frozen=True, slots=True)
class UserRow:
    id: int
    username: str
    is_admin: bool
    password_hash: str
    password_seq: int
    hub_tokens: dict[Source, str]
    """Sealed."""
    deleted: bool


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    id: int
    user_id: int
    secret_hash: str
    expires_at: datetime | None
    scope: tuple[str, ...]
    revoked: bool


@dataclass(frozen=True, slots=True)
class WorkerRow:
    id: int
    name: str
    public_key: str


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """Where an instance is, or was; it stays known after its removal, for its logs."""

    id: int
    name: str
    worker_id: int | None
    worker_name: str | None
    attempt: int


def table(model: ReadModel) -> Table:
    return metadata.tables[model.table_name]


async def highest_id(db: Database, aggregate: Aggregate) -> int:
    """The highest id ever given, removed ones included; 0 if there is none."""
    column = table(BY_AGGREGATE[aggregate]).c.id
    async with db.asking() as connection:
        return int(await connection.scalar(select(func.max(column))) or 0)


async def user_by_name(db: Database, username: str) -> UserRow | None:
    users = accounts.USER_TABLE
    here_first = (users.c.removed_at.is_not(None), users.c.id.desc())
    query = select(users).where(users.c.username == username).order_by(*here_first).limit(1)
    return _user(await _one(db, query))


async def user_by_id(db: Database, ident: int) -> UserRow | None:
    return _user(await _one(db, select(accounts.USER_TABLE).where(accounts.USER_TABLE.c.id == ident)))


async def api_key_by_access_key(db: Database, access_key: str) -> ApiKeyRow | None:
    keys = accounts.API_KEY_TABLE
    row = await _one(db, select(keys).where(keys.c.access_key == access_key).limit(1))
    if row is None:
        return None
    return ApiKeyRow(
        id=row.id,
        user_id=row.user_id,
        secret_hash=row.hidden["secret_hash"],
        expires_at=row.expires_at,
        scope=tuple(row.view["scope"]),
        revoked=row.removed_at is not None,
    )


async def ready_workers(db: Database) -> list[WorkerRow]:
    columns = workers.TABLE.c
    query = select(columns.id, columns.name, columns.public_key)
    query = query.where(columns.state == "ready", columns.removed_at.is_(None)).order_by(columns.id)
    async with db.asking() as connection:
        return [WorkerRow(row.id, row.name, row.public_key) for row in await connection.execute(query)]


async def default_cluster_id(db: Database) -> int | None:
    columns = clusters.TABLE.c
    query = select(columns.id).where(columns.is_default, columns.removed_at.is_(None)).order_by(columns.id)
    async with db.asking() as connection:
        found: int | None = await connection.scalar(query.limit(1))
        return found


async def deployments_on(db: Database, backend: str) -> list[str]:
    columns = deployments.TABLE.c
    query = select(columns.name).where(columns.backend == backend, columns.removed_at.is_(None))
    async with db.asking() as connection:
        return [row.name for row in await connection.execute(query.order_by(columns.id).limit(5))]


async def routes_to(db: Database, provider_id: int) -> list[str]:
    columns = routes.TABLE.c
    query = select(columns.name).where(
        columns.view["route_targets"].contains([{"provider_id": provider_id}]), columns.removed_at.is_(None)
    )
    async with db.asking() as connection:
        return [row.name for row in await connection.execute(query.order_by(columns.id).limit(5))]


async def instances_with(db: Database, worker_id: int, source_index: str) -> list[str]:
    """With it as their model, an adapter or a draft model."""
    columns = instances.TABLE.c
    query = select(columns.name).where(
        columns.worker_id == worker_id,
        or_(
            columns.view["source_index"].astext == source_index,
            columns.view["companion_source_indexes"].contains([source_index]),
        ),
        columns.removed_at.is_(None),
    )
    async with db.asking() as connection:
        return [row.name for row in await connection.execute(query.order_by(columns.id).limit(5))]


async def view(db: Database, resource: str, ident: int) -> tuple[View, int] | None:
    """What a client may see of one row, and the last sequence of its own aggregate."""
    columns = table(BY_RESOURCE[resource]).c
    query = select(columns.view, columns.seq).where(columns.id == ident, columns.removed_at.is_(None))
    row = await _one(db, query)
    return None if row is None else (row.view, row.seq)


async def placed(db: Database, instance_id: int) -> PlacedRow | None:
    row = await _one(db, select(instances.TABLE).where(instances.TABLE.c.id == instance_id))
    if row is None:
        return None
    return PlacedRow(row.id, row.name, row.worker_id, row.worker_name, row.view["attempt"])


async def _one(db: Database, query: Any) -> Any:
    async with db.asking() as connection:
        return (await connection.execute(query)).first()


def _user(row: Any) -> UserRow | None:
    if row is None:
        return None
    hidden = row.hidden
    return UserRow(
        id=row.id,
        username=row.username,
        is_admin=row.is_admin,
        password_hash=hidden["password_hash"],
        password_seq=hidden["password_seq"],
        hub_tokens={Source(hub): sealed for hub, sealed in hidden.get("hub_tokens", {}).items()},
        deleted=row.removed_at is not None,
    )
