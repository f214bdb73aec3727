"""Requests, stops and removes instances."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from modelyard_contracts.envelope import Cause
from modelyard_contracts.events import (
    InstanceRemoved,
    InstanceRequested,
    InstanceStopping,
    WorkerDevicesReleased,
)
from modelyard_eventlog.log import Write

from modelyard_scheduler.domain.deployment import DeploymentState
from modelyard_scheduler.domain.instance import UNPLACED, InstanceState, Phase, homes, may
from modelyard_scheduler.domain.names import SUFFIX_ALPHABET, SUFFIX_LENGTH, instance_name
from modelyard_scheduler.domain.reconcile import ReplicasPlan, Stop, replicas_plan
from modelyard_scheduler.domain.restart import may_give_back
from modelyard_scheduler.domain.standing import draining, standings
from modelyard_scheduler.domain.worker import WorkerPhase
from modelyard_scheduler.handlers.deciding import AT_ONCE, Decider, Decision, because
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
            states = self.decider.picture.instances_of(deployment_id)
            await self.placement.place([s.instance_id for s in states if s.phase is Phase.REQUESTED])

    def _plan(self, deployment_id: int) -> ReplicasPlan:
        picture = self.decider.picture
        return replicas_plan(
            picture.deployments.get(deployment_id),
            picture.instances_of(deployment_id),
            lambda: standings(picture, deployment_id),
            draining(picture, deployment_id),
        )

    def _request(self, deployment_id: int) -> Decision | None:
        deployment = self.decider.picture.deployments.get(deployment_id)
        missing = 0 if deployment is None else self._plan(deployment_id).request
        if deployment is None or missing == 0:
            return None
        first = self.decider.picture.highest_instance_id + 1
        idents = range(first, first + min(missing, AT_ONCE))
        return Decision(
            [Write(self._requested(deployment, ident), 0) for ident in idents],
            self._wish(deployment, f"request/{deployment_id}/{first}-{idents[-1]}"),
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

    def _wish(self, deployment: DeploymentState, command_id: str) -> Cause:
        return because(
            command_id,
            correlation_id=deployment.correlation_id,
            causation_id=deployment.last_event_id,
            time=self.decider.now(),
            traceparent=deployment.traceparent,
        )

    # --- stop ----------------------------------------------------------------------------------------

    async def _stop_worst(self, deployment_id: int) -> bool:
        stopped: list[int] = []

        def decide() -> Decision | None:
            stops = self._plan(deployment_id).stop[:AT_ONCE]
            stopped[:] = [stop.instance_id for stop in stops]
            return self.decider.about_many("stop", [self._stop(stop) for stop in stops])

        if not await self.decider.state(decide):
            return False
        await self.wants.tell(stopped)
        return True

    def _stop(self, stop: Stop) -> tuple[InstanceState, Write]:
        state = self.decider.picture.instances[stop.instance_id]
        who = {"instance_id": state.instance_id, "deployment_id": state.deployment_id}
        wanted = state if state.deletion_requested else self._as_wished(state)
        if state.phase in UNPLACED:
            return wanted, Write(InstanceRemoved(**who, reason=stop.reason), state.seq)
        return wanted, Write(InstanceStopping(**who, reason=stop.reason), state.seq)

    def _as_wished(self, state: InstanceState) -> InstanceState:
        """The instance as part of what somebody last wanted of its deployment: that is why it goes."""
        deployment = self.decider.picture.deployments.get(state.deployment_id)
        if deployment is None:
            return state
        return state._replace(
            correlation_id=deployment.correlation_id,
            actor=deployment.actor,
            last_event_id=deployment.last_event_id,
            traceparent=deployment.traceparent,
        )

    # --- remove --------------------------------------------------------------------------------------

    async def remove_stopped(self, instance_ids: Iterable[int]) -> None:
        """After the agent said that nothing is left."""
        states = self._of(instance_ids, Phase.STOPPED)
        for start in range(0, len(states), AT_ONCE):
            some = states[start : start + AT_ONCE]
            await self._remove({s.instance_id: s.leaves_because or "scale_down" for s in some})
            await self.wants.forget(some)

    async def give_back_claims(self, grace_s: float) -> None:
        """What was given up holds its room no longer than the grace, so that somebody may look."""

        def decide() -> Decision | None:
            opened: set[int] = set()
            over = [
                state
                for state in self.decider.picture.instances.values()
                if may_give_back(state, self.decider.now(), grace_s)
            ]
            writes = [(state, write) for state in over[:AT_ONCE] for write in self._releases(state, opened)]
            return self.decider.about_many("give-back", writes)

        while await self.decider.state(decide):
            pass

    def _of(self, instance_ids: Iterable[int], phase: Phase) -> list[InstanceState]:
        found = [self.decider.picture.instances.get(ident) for ident in sorted(instance_ids)]
        return [state for state in found if state is not None and state.phase is phase]

    async def give_up(self, worker_id: int) -> None:
        """Removes what was on a worker that is gone, as long as it is gone: it is replaced elsewhere, and
        what is left there is stopped should it come back."""
        states = self.decider.picture.instances_on(worker_id)
        for start in range(0, len(states), AT_ONCE):
            some = states[start : start + AT_ONCE]

            def decide(some: Sequence[InstanceState] = some) -> Decision | None:
                reason = self._why_gone(worker_id)
                return self._removals({s.instance_id: reason for s in some}) if reason else None

            if await self.decider.state(decide):
                await self.wants.tell_gone(some)

    def _why_gone(self, worker_id: int) -> str | None:
        worker = self.decider.picture.workers.get(worker_id)
        if worker is None or worker.phase is WorkerPhase.DELETED:
            return "worker_deleted"
        return "worker_lost" if worker.phase is WorkerPhase.LOST else None

    async def _remove(self, reasons: dict[int, str]) -> None:
        await self.decider.state(lambda: self._removals(reasons))

    def _removals(self, reasons: dict[int, str]) -> Decision | None:
        """Those that may be removed by now, with the reservations they held."""
        writes: list[tuple[InstanceState, Write]] = []
        opened: set[int] = set()
        for ident, reason in reasons.items():
            state = self.decider.picture.instances.get(ident)
            if state is None or not may(state, InstanceRemoved):
                continue
            removed = InstanceRemoved.model_validate(
                {
                    "instance_id": ident,
                    "deployment_id": state.deployment_id,
                    "reason": reason,
                    "worker_id": state.worker_id,
                }
            )
            writes.append((state, Write(removed, state.seq)))
            writes += [(state, write) for write in self._releases(state, opened)]
        return self.decider.about_many("remove", writes)

    def _releases(self, state: InstanceState, opened: set[int]) -> list[Write]:
        """What its workers get back. A worker that this batch writes to already (`opened`) is checked by the
        first of those writes."""
        writes = []
        for worker_id in homes(state):
            worker = self.decider.picture.workers.get(worker_id)
            if worker is None or state.instance_id not in worker.reservations:
                continue
            released = WorkerDevicesReleased(worker_id=worker_id, instance_id=state.instance_id)
            writes.append(Write(released, None if worker_id in opened else worker.seq))
            opened.add(worker_id)
        return writes
