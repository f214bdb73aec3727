"""All read models together: what one event does to every row it concerns. Pure: no database, no clock.

Working on live events and rebuilding from the first one are the same fold.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import InstanceScheduled, model_number
from modelyard_eventlog.log import AnyRecorded

from modelyard_api.projections import (
    accounts,
    backends,
    clusters,
    deployments,
    instances,
    model_facts,
    model_files,
    providers,
    routes,
    workers,
)
from modelyard_api.projections.changes import CREATED, DELETED, UPDATED, Change
from modelyard_api.projections.rows import Fold, MaskEnv, ReadModel, Row, View, differences

READ_MODELS = (
    deployments.MODELS,
    instances.INSTANCES,
    workers.WORKERS,
    routes.ROUTES,
    providers.PROVIDERS,
    model_facts.MODEL_FACTS,
    model_files.MODEL_FILES,
    clusters.CLUSTERS,
    backends.BACKENDS,
    accounts.USERS,
    accounts.API_KEYS,
)
BY_RESOURCE = {model.resource: model for model in READ_MODELS}
BY_AGGREGATE = {model.aggregate: model for model in READ_MODELS}
BY_AGGREGATE[Aggregate.CHOICE] = deployments.MODELS

Key = tuple[str, int]


class Step(NamedTuple):
    """What one event did to one row."""

    model: ReadModel
    before: Row | None
    after: Row


class Picture:
    """Every row that is not removed, with the indexes that effects across resources need."""

    def __init__(self, mask_env: MaskEnv) -> None:
        self._mask_env = mask_env
        self._folds: dict[Aggregate, Fold] = {
            Aggregate.DEPLOYMENT: deployments.fold_with(mask_env),
            Aggregate.CHOICE: self._fold_choice,
            Aggregate.INSTANCE: self._fold_instance,
            Aggregate.WORKER: workers.fold,
            Aggregate.ROUTE: routes.fold,
            Aggregate.PROVIDER: providers.fold,
            Aggregate.MODEL: model_facts.fold,
            Aggregate.MODEL_FILE: model_files.fold,
            Aggregate.CLUSTER: clusters.fold,
            Aggregate.BACKEND: backends.fold_with(mask_env),
            Aggregate.USER: accounts.fold_user,
            Aggregate.API_KEY: accounts.fold_api_key,
        }
        self._rows: dict[str, dict[int, Row]] = {model.resource: {} for model in READ_MODELS}
        self._instances_of_worker: dict[int, set[int]] = defaultdict(set)
        self._routes_to: dict[tuple[Aggregate, int], set[int]] = defaultdict(set)
        """Routes by what their targets name: a deployment or a provider."""
        self._of_model: dict[tuple[str, int], set[int]] = defaultdict(set)
        """Deployments, and instances that wait for it, by resource and the id of their model's facts."""
        self.touched: dict[Key, Row] = {}
        """The rows that differ from what was last written; the writer empties it."""

    def load(self, model: ReadModel, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows[model.resource][row.id] = row
            self._index(model, None, row)

    def copy(self) -> "Picture":
        """One that goes its own way; rows are never changed in place."""
        other = Picture(self._mask_env)
        for model in READ_MODELS:
            other.load(model, self._rows[model.resource].values())
        return other

    def find(self, model: ReadModel, ident: int | None) -> Row | None:
        return None if ident is None else self._rows[model.resource].get(ident)

    def views(self, model: ReadModel) -> list[View]:
        """By id."""
        rows = self._rows[model.resource]
        return [rows[ident].view for ident in sorted(rows)]

    def apply(self, event: AnyRecorded) -> list[Change]:
        """Folds one event in; what clients that watch must hear of it, in order."""
        return changes_of(event, self.fold(event))

    def fold(self, event: AnyRecorded) -> list[Step]:
        """Folds one event in; what it did, in order."""
        aggregate = event.data.aggregate
        model = BY_AGGREGATE.get(aggregate)
        if model is None:  # names and the fleet have no read model
            return []
        ident: int = getattr(event.data, model.id_field)
        before = self.find(model, ident)
        after = self._folds[aggregate](event, before)
        if after is None or after is before:
            return []
        steps = [self._put(model, before, after)]
        self._spread(event, steps[0], steps)
        return steps

    def _fold_instance(self, event: AnyRecorded, row: Row | None) -> Row | None:
        after = instances.fold(event, row)
        if after is None or not isinstance(event.data, InstanceScheduled):
            return after
        deployment = self.find(deployments.MODELS, after.view["model_id"])
        file = deployment.view["model_file"] if deployment is not None else None
        return instances.of_file(after, file) if file else after

    def _fold_choice(self, event: AnyRecorded, row: Row | None) -> Row | None:
        facts = self.find(model_facts.MODEL_FACTS, model_number(event.data.coordinates.model_id()))
        return deployments.fold_choice(event, row, facts.view["file"] if facts is not None else None)

    def _put(self, model: ReadModel, before: Row | None, after: Row) -> Step:
        rows = self._rows[model.resource]
        if after.removed_at is None:
            rows[after.id] = after
        else:
            rows.pop(after.id, None)
        self._index(model, before, after)
        self.touched[model.resource, after.id] = after
        return Step(model, before, after)

    def _affect(self, model: ReadModel, before: Row, after: Row, steps: list[Step]) -> None:
        if after is not before:
            steps.append(self._put(model, before, after))

    def _index(self, model: ReadModel, before: Row | None, after: Row) -> None:
        gone = after.removed_at is not None
        if before is not None:
            self._of_model[model.resource, before.hidden.get("model_facts_id", 0)].discard(after.id)
        if not gone and "model_facts_id" in after.hidden:
            self._of_model[model.resource, after.hidden["model_facts_id"]].add(after.id)
        if model is instances.INSTANCES:
            if before is not None:
                self._instances_of_worker[before.view["worker_id"]].discard(after.id)
            if not gone and after.view["worker_id"] is not None:
                self._instances_of_worker[after.view["worker_id"]].add(after.id)
        elif model is routes.ROUTES:
            for named in routes.target_rows(before) if before is not None else ():
                self._routes_to[named].discard(after.id)
            for named in () if gone else routes.target_rows(after):
                self._routes_to[named].add(after.id)

    # --- effects on the rows of other resources ------------------------------------------------------

    def _spread(self, event: AnyRecorded, step: Step, steps: list[Step]) -> None:
        if step.model is instances.INSTANCES:
            self._count_ready(event, step, steps)
            self._show_model(event, step.after, steps)
        elif step.model is model_facts.MODEL_FACTS:
            self._show_everywhere(event, step.after, steps)
        elif step.model is deployments.MODELS:
            self._show_model(event, step.after, steps)
            self._refresh_routes(event, step, steps)
            self._count(event, step, {"models": _there(step.after) - _there(step.before)}, steps)
        elif step.model is providers.PROVIDERS:
            self._refresh_routes(event, step, steps)
        elif step.model is routes.ROUTES and step.after.removed_at is None:
            self._refresh_route(event, step.after, steps)
            self._rename_in_keys(event, step, steps)
        elif step.model is workers.WORKERS:
            self._mark_instances(event, step, steps)
            self._drop_files(event, step.after, steps)
            self._count(event, step, _worker_counts(step), steps)

    def _show_everywhere(self, event: AnyRecorded, facts: Row, steps: list[Step]) -> None:
        for model in (deployments.MODELS, instances.INSTANCES):
            for ident in sorted(self._of_model[model.resource, facts.id]):
                self._show_model(event, self._rows[model.resource][ident], steps)

    def _show_model(self, event: AnyRecorded, row: Row, steps: list[Step]) -> None:
        """What is known of its model, on a deployment or an instance that waits for it."""
        facts = self.find(model_facts.MODEL_FACTS, row.hidden.get("model_facts_id"))
        if facts is None or row.removed_at is not None:
            return
        if "categories_open" in row.hidden:
            after = deployments.with_facts(event, row, facts.view)
            self._affect(deployments.MODELS, row, after, steps)
        else:
            self._affect(instances.INSTANCES, row, instances.analyzed(event, row), steps)

    def _count_ready(self, event: AnyRecorded, step: Step, steps: list[Step]) -> None:
        change = instances.running(step.after) - instances.running(step.before)
        if change == 0:
            return
        deployment = self.find(deployments.MODELS, step.after.view["model_id"])
        if deployment is not None:
            after = deployments.with_ready(event, deployment, change)
            self._affect(deployments.MODELS, deployment, after, steps)
            self._refresh_routes(event, Step(deployments.MODELS, deployment, after), steps)

    def _refresh_routes(self, event: AnyRecorded, step: Step, steps: list[Step]) -> None:
        before, after = step.before, step.after
        if (
            before is not None
            and after.removed_at is None
            and _shown_by_routes(before) == _shown_by_routes(after)
        ):
            return
        for route_id in sorted(self._routes_to.get((step.model.aggregate, after.id), ())):
            self._refresh_route(event, self._rows[routes.ROUTES.resource][route_id], steps)

    def _refresh_route(self, event: AnyRecorded, route: Row, steps: list[Step]) -> None:
        after = routes.with_names(
            event,
            route,
            lambda ident: self.find(deployments.MODELS, ident),
            lambda ident: self.find(providers.PROVIDERS, ident),
        )
        self._affect(routes.ROUTES, route, after, steps)

    def _rename_in_keys(self, event: AnyRecorded, step: Step, steps: list[Step]) -> None:
        before, after = step.before, step.after
        if before is None or before.view["name"] == after.view["name"]:
            return
        for key in tuple(self._rows[accounts.API_KEYS.resource].values()):
            renamed = accounts.with_renamed_route(event, key, before.view["name"], after.view["name"])
            self._affect(accounts.API_KEYS, key, renamed, steps)

    def _mark_instances(self, event: AnyRecorded, step: Step, steps: list[Step]) -> None:
        was = step.before is not None and workers.reachable(step.before)
        now = workers.reachable(step.after)
        if was == now or step.before is None:
            return
        for ident in sorted(self._instances_of_worker.get(step.after.id, ())):
            row = self._rows[instances.INSTANCES.resource][ident]
            after = instances.back(event, row) if now else instances.lost(event, row)
            if after is not row:
                effect = self._put(instances.INSTANCES, row, after)
                steps.append(effect)
                self._count_ready(event, effect, steps)

    def _drop_files(self, event: AnyRecorded, worker: Row, steps: list[Step]) -> None:
        if worker.removed_at is None:
            return
        files = self._rows[model_files.MODEL_FILES.resource].values()
        for row in [row for row in files if row.view["worker_id"] == worker.id]:
            after = model_files.lost_with_its_worker(event, row)
            self._affect(model_files.MODEL_FILES, row, after, steps)

    def _count(self, event: AnyRecorded, step: Step, change: dict[str, int], steps: list[Step]) -> None:
        if not any(change.values()):
            return
        cluster = self.find(clusters.CLUSTERS, step.after.view["cluster_id"])
        if cluster is not None:
            after = clusters.counted(event, cluster, change)
            self._affect(clusters.CLUSTERS, cluster, after, steps)


def _there(row: Row | None) -> int:
    return int(row is not None and row.removed_at is None)


def _shown_by_routes(row: Row) -> tuple[Any, ...]:
    return (row.view["name"], row.view.get("ready_replicas", 1) > 0)


def _worker_counts(step: Step) -> dict[str, int]:
    before, after = step.before, step.after
    return {
        "workers": _there(after) - _there(before),
        "ready_workers": _ready(after) - _ready(before),
        "gpus": workers.gpu_count(after) - workers.gpu_count(before),
    }


def _ready(row: Row | None) -> int:
    return int(row is not None and row.removed_at is None and row.view["state"] == "ready")


def changes_of(event: AnyRecorded, steps: list[Step]) -> list[Change]:
    """One change per row, however often the event touched it."""
    merged: dict[Key, Step] = {}
    for step in steps:
        key = (step.model.resource, step.after.id)
        first = merged.get(key)
        merged[key] = step if first is None else Step(step.model, first.before, step.after)
    found: list[Change] = []
    for step in merged.values():
        kind = _kind(step)
        fields = differences(step.before.view, step.after.view) if step.before and kind == UPDATED else {}
        if kind != UPDATED or fields:
            found.append(
                Change(
                    event.seq, len(found), step.model.resource, step.after.id, kind, step.after.view, fields
                )
            )
    return found


def _kind(step: Step) -> int:
    if step.after.removed_at is not None:
        return DELETED
    return CREATED if step.before is None else UPDATED
