"""Requests, stops and removes instances."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from modelyard_contracts.events import (
    InstanceRemoved,
    InstanceRequested,
    InstanceStopping,
    WorkerDevicesReleased,
)
from modelyard_eventlog.log import Write

from modelyard_scheduler.domain.deployment import DeploymentState
from modelyard_scheduler.domain.instance import UNPLACED, InstanceState, Phase, may
from modelyard_scheduler.domain.names import SUFFIX_ALPHABET, SUFFIX_LENGTH, instance_name
from modelyard_scheduler.domain.reconcile import ReplicasPlan, Stop, replicas_plan
from modelyard_scheduler.domain.worker import WorkerPhase
from modelyard_scheduler.handlers.deciding import Decider, Decision, because
from modelyard_scheduler.handlers.placement import PlacementHandler
from modelyard_scheduler.handlers.wants import WantsHandler


def random_suffix() -> str:
    return "".join(random.choices(SUFFIX_ALPHABET, k=SUFFIX_LENGTH))  # noqa: S311 - a name, not a secret


@dataclass(frozen=True, slots=True)
class InstanceHandler:
    decider: Decider
    placement: PlacementHandler
    wants: WantsHandler
    suffix: Callable[[], str] = random_suffix

    # --- how many ------------------------------------------------------------------------------------

    async def reconcile(self, deployment_id: int) -> None:
        """Makes instances match the wish: stops the worst, requests and places what is missing.

        What is to be done is asked anew before each step: wishes and instances change meanwhile.
        """
        while await self._stop_worst(deployment_id):
            pass
        while await self.decider.state(lambda: self._request(deployment_id)):
            newest = self.decider.picture.instances_of(deployment_id)[-1:]
            for state in newest:
                await self.placement.place(state.instance_id)

    def _plan(self, deployment_id: int) -> ReplicasPlan:
        picture = self.decider.picture
        silent = frozenset(w.worker_id for w in picture.workers.values() if w.phase is WorkerPhase.SILENT)
        return replicas_plan(
            picture.deployments.get(deployment_id), picture.instances_of(deployment_id), silent
        )

    def _request(self, deployment_id: int) -> Decision | None:
        deployment = self.decider.picture.deployments.get(deployment_id)
        if deployment is None or self._plan(deployment_id).request == 0:
            return None
        ident = self.decider.picture.highest_instance_id + 1
        return Decision(
            [Write(self._requested(deployment, ident), 0)],
            because(
                f"request/{deployment_id}/{ident}",
                correlation_id=deployment.correlation_id,
                causation_id=deployment.last_event_id,
                actor=deployment.actor,
                time=self.decider.now(),
            ),
        )

    def _requested(self, deployment: DeploymentState, ident: int) -> InstanceRequested:
        return InstanceRequested(
            instance_id=ident,
            deployment_id=deployment.deployment_id,
            name=instance_name(deployment.name, self.suffix()),
            deployment_name=deployment.name,
            cluster_id=deployment.cluster_id,
            spec=deployment.spec,
            spec_seq=deployment.spec_seq,
        )

    # --- stop, remove --------------------------------------------------------------------------------

    async def _stop_worst(self, deployment_id: int) -> bool:
        stopped: int | None = None

        def decide() -> Decision | None:
            nonlocal stopped
            for stop in self._plan(deployment_id).stop[:1]:
                stopped = stop.instance_id
                return self._stop(stop)
            return None

        if not await self.decider.state(decide) or stopped is None:
            return False
        await self.wants.tell(stopped)
        return True

    def _stop(self, stop: Stop) -> Decision:
        state = self.decider.picture.instances[stop.instance_id]
        who = {"instance_id": state.instance_id, "deployment_id": state.deployment_id}
        if not state.deletion_requested:
            state = self._as_wished(state)
        if state.phase in UNPLACED:
            removed = InstanceRemoved(**who, reason=stop.reason)
            return self.decider.about(state, "remove", [Write(removed, state.seq)])
        stopping = InstanceStopping(**who, reason=stop.reason)
        return self.decider.about(state, "stop", [Write(stopping, state.seq)])

    def _as_wished(self, state: InstanceState) -> InstanceState:
        """The instance as part of what somebody last wanted of its deployment: that is why it goes."""
        deployment = self.decider.picture.deployments.get(state.deployment_id)
        if deployment is None:
            return state
        return replace(
            state,
            correlation_id=deployment.correlation_id,
            actor=deployment.actor,
            last_event_id=deployment.last_event_id,
        )

    async def remove_stopped(self, instance_id: int) -> None:
        """After the agent said that nothing is left."""
        state = self.decider.picture.instances.get(instance_id)
        if state is None or state.phase is not Phase.STOPPED:
            return
        await self.decider.state(lambda: self._removal(instance_id, state.leaves_because or "scale_down"))
        if state.worker_id is not None:
            await self.wants.forget(state.worker_id, instance_id)

    async def give_up(self, worker_id: int) -> None:
        """Removes what was on a worker that is gone, as long as it is gone: it is replaced elsewhere, and
        what is left there is stopped should it come back."""
        for state in self.decider.picture.instances_on(worker_id):
            if await self.decider.state(partial(self._given_up, state.instance_id, worker_id)):
                await self.wants.tell_gone(state)

    def _given_up(self, instance_id: int, worker_id: int) -> Decision | None:
        worker = self.decider.picture.workers.get(worker_id)
        if worker is None or worker.phase is WorkerPhase.DELETED:
            return self._removal(instance_id, "worker_deleted")
        return self._removal(instance_id, "worker_lost") if worker.phase is WorkerPhase.LOST else None

    def _removal(self, instance_id: int, reason: str) -> Decision | None:
        picture = self.decider.picture
        state = picture.instances.get(instance_id)
        if state is None or not may(state, InstanceRemoved):
            return None
        removed = InstanceRemoved.model_validate(
            {
                "instance_id": instance_id,
                "deployment_id": state.deployment_id,
                "reason": reason,
                "worker_id": state.worker_id,
            }
        )
        writes = [Write(removed, state.seq)]
        worker = picture.workers.get(state.worker_id) if state.worker_id is not None else None
        if worker is not None and instance_id in worker.reservations:
            released = WorkerDevicesReleased(worker_id=worker.worker_id, instance_id=instance_id)
            writes.append(Write(released, worker.seq))
        return self.decider.about(state, "remove", writes)
