"""Carries out what is asked of deployments."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from modelyard_backends.builtin import BUILT_IN
from modelyard_contracts.base import Aggregate
from modelyard_contracts.commands import DeploymentCreate, DeploymentUpdate
from modelyard_contracts.deployments import Source
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    ClusterCreated,
    DeploymentUpdated,
    NameClaimed,
    NameReleased,
    RouteChanged,
    RouteDeleted,
)
from modelyard_eventlog.log import EventLog, Write
from modelyard_runtime.clock import Now
from modelyard_runtime.secrets import Sealer

from modelyard_api.domain import deployment as deployments
from modelyard_api.domain import route as routes
from modelyard_api.domain.deployment import NO_TOKENS, Deployment, HubTokens
from modelyard_api.domain.errors import invalid, name_taken, not_found, unavailable
from modelyard_api.domain.route import Route
from modelyard_api.handlers.commanding import Commander, Done, carry_out, check_match, held, load, renamed
from modelyard_api.handlers.gpu_selection import check_selection
from modelyard_api.handlers.routes import load_route, rename_writes
from modelyard_api.ports import Directory, Paths


@dataclass(frozen=True, slots=True)
class DeploymentHandler:
    log: EventLog
    directory: Directory
    paths: Paths
    sealer: Sealer
    now: Now

    async def create(
        self, command: DeploymentCreate, by: Commander, hub_tokens: HubTokens = NO_TOKENS
    ) -> Done:
        cluster_id = await self._cluster(command.cluster_id)
        await self._check_backend(command.backend)
        await check_selection(self.log, command.gpu_selector, cluster_id)
        name = await held(self.log, Aggregate.DEPLOYMENT, command.name)
        if name.held_by is None and command.source is Source.LOCAL_PATH:
            await self._check_path(command.local_path or "")
        ident, route_id = 0, 0

        async def decide() -> Sequence[Write] | Done:
            nonlocal ident, route_id
            name = await held(self.log, Aggregate.DEPLOYMENT, command.name)
            if by.made(name.claimed_in) and name.held_by is not None:
                return Done(ident=name.held_by, seq=name.seq)
            if name.held_by is not None:
                raise name_taken("deployment", command.name)
            route_name = await held(self.log, Aggregate.ROUTE, command.name)
            if route_name.held_by is not None:
                raise name_taken("route", command.name)
            ident = max(ident, await self.directory.highest_id(Aggregate.DEPLOYMENT)) + 1
            route_id = max(route_id, await self.directory.highest_id(Aggregate.ROUTE)) + 1
            requested = deployments.requested(
                command,
                deployment_id=ident,
                cluster_id=cluster_id,
                seal=self.sealer.seal,
                hub_tokens=hub_tokens,
            )
            route = routes.created_for(
                ident,
                command.name,
                route_id=route_id,
                generic_proxy=requested.spec.generic_proxy,
                categories=requested.spec.categories,
            )
            return [
                Write(NameClaimed(kind=Aggregate.DEPLOYMENT, name=command.name, claimed_by=ident), name.seq),
                Write(requested, 0),
                Write(
                    NameClaimed(kind=Aggregate.ROUTE, name=command.name, claimed_by=route_id), route_name.seq
                ),
                Write(route, 0),
            ]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def update(
        self,
        ident: int,
        command: DeploymentUpdate,
        by: Commander,
        if_match: int | None,
        hub_tokens: HubTokens = NO_TOKENS,
    ) -> Done:
        async def decide() -> Sequence[Write] | Done:
            events = await load(self.log, Aggregate.DEPLOYMENT, ident)
            state = self._alive(ident, events)
            if any(by.made(event.id) for event in events):
                return Done(ident=ident, seq=state.seq)
            check_match(state.seq, if_match)
            if command.gpu_selector != state.spec.gpu_selector:
                await check_selection(self.log, command.gpu_selector, state.cluster_id)
            decided = deployments.decide_update(
                command, state, seal=self.sealer.seal, same=self.sealer.holds, hub_tokens=hub_tokens
            )
            if not decided:
                return Done(ident=ident, seq=state.seq)
            writes = [Write(event, None if number else state.seq) for number, event in enumerate(decided)]
            updated = next((event for event in decided if isinstance(event, DeploymentUpdated)), None)
            if updated is not None:
                if updated.spec.backend != state.spec.backend:
                    await self._check_backend(updated.spec.backend)
                if (
                    updated.spec.local_path != state.spec.local_path
                    and updated.spec.source is Source.LOCAL_PATH
                ):
                    await self._check_path(updated.spec.local_path or "")
                writes += await renamed(
                    self.log, Aggregate.DEPLOYMENT, "deployment", ident, state.name, updated.name
                )
                writes += await self._route_follows(events, state, updated)
            return writes

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def delete(self, ident: int, by: Commander, if_match: int | None) -> Done:
        async def decide() -> Sequence[Write] | Done:
            events = await load(self.log, Aggregate.DEPLOYMENT, ident)
            if events and by.made(events[-1].id):
                return Done(ident=ident, seq=events[-1].seq)
            state = self._alive(ident, events)
            check_match(state.seq, if_match)
            writes = [
                Write(deployments.decide_delete(state), state.seq),
                Write(NameReleased(kind=Aggregate.DEPLOYMENT, name=state.name, released_by=ident), None),
            ]
            route = await self._own_route(events)
            if route is not None:
                left: RouteChanged | RouteDeleted = routes.without_deployment(route, ident)
                writes.append(Write(left, route.seq))
                if isinstance(left, RouteDeleted):
                    released = NameReleased(kind=Aggregate.ROUTE, name=route.name, released_by=route.route_id)
                    writes.append(Write(released, None))
            return writes

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    # --- what the decisions need to know ------------------------------------------------------------

    async def _cluster(self, cluster_id: int | None) -> int:
        if cluster_id is None:
            cluster_id = await self.directory.default_cluster_id()
            if cluster_id is None:
                raise invalid("cluster_id: there is no default cluster, name one")
        events = await load(self.log, Aggregate.CLUSTER, cluster_id)
        if not any(isinstance(event.data, ClusterCreated) for event in events):
            raise not_found(f"cluster_id: cluster {cluster_id}")
        return cluster_id

    async def _check_backend(self, name: str | None) -> None:
        """One of an operator's has to be there: no worker could start it."""
        if name is None or name in BUILT_IN:
            return
        if (await held(self.log, Aggregate.BACKEND, name)).held_by is None:
            raise invalid(
                f"backend: no inference backend named {name!r} is defined; "
                "POST /v2/inference-backends defines one"
            )

    async def _check_path(self, path: str) -> None:
        """A path that no worker has is refused for good; that nobody can say right now is not."""
        answers = await self.paths.ask_workers(path)
        if any(answer.found for answer in answers):
            return
        said = "; ".join(f"{answer.worker}: {answer.message}" for answer in answers)
        if not answers and await self.directory.highest_id(Aggregate.WORKER) == 0:
            raise invalid(f"local_path: no worker has joined that could have {path}; add one first")
        if all(answer.answered for answer in answers) and answers:
            raise invalid(f"local_path: no worker has {path} ({said})")
        raise unavailable(
            f"local_path: whether a worker has {path} cannot be told right now "
            f"({said or 'no worker is ready'}); try again in a moment"
        )

    def _alive(self, ident: int, events: Sequence[Recorded[Any]]) -> Deployment:
        start: Deployment | None = None
        state = reduce(deployments.evolve, events, start)
        if state is None or state.deleted:
            raise not_found(f"model {ident}")
        return state

    async def _route_follows(
        self, events: Sequence[Recorded[Any]], state: Deployment, updated: DeploymentUpdated
    ) -> list[Write]:
        route = await self._own_route(events)
        if route is None:
            return []
        changed = routes.follow_deployment(
            route, state, updated.name, updated.spec.generic_proxy, updated.spec.categories
        )
        if changed is None:
            return []
        return [Write(changed, route.seq), *await rename_writes(self.log, route, changed.name)]

    async def _own_route(self, events: Sequence[Recorded[Any]]) -> Route | None:
        """The route that came with the deployment: its creation is the last of the same batch of four."""
        created = await self.log.get(events[0].seq + 2)
        if created is None or created.aggregate()[0] is not Aggregate.ROUTE:
            return None
        route = await load_route(self.log, int(created.aggregate()[1]))
        if route is None or route.deleted or route.created_model_id != events[0].data.deployment_id:
            return None
        return route
