"""Ids as the read models know them."""

from collections.abc import Sequence

from modelyard_contracts.base import Aggregate
from modelyard_contracts.models import ModelCoordinates

from modelyard_api.adapters.database import Database
from modelyard_api.projections import queries


class ProjectedDirectory:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def highest_id(self, aggregate: Aggregate) -> int:
        return await queries.highest_id(self._db, aggregate)

    async def default_cluster_id(self) -> int | None:
        return await queries.default_cluster_id(self._db)

    async def deployments_on(self, backend: str) -> Sequence[str]:
        return await queries.deployments_on(self._db, backend)

    async def routes_to(self, provider_id: int) -> Sequence[str]:
        return await queries.routes_to(self._db, provider_id)

    async def instances_with(self, worker_id: int, model: ModelCoordinates) -> Sequence[str]:
        return await queries.instances_with(self._db, worker_id, model.model_id())
