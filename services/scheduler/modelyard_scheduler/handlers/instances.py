"""Carries out decisions about instances: request, place, restart, stop, remove."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog
from modelyard_contracts import events
from modelyard_contracts.deployments import Source
from modelyard_contracts.events import (
    InstanceRemoved,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceScheduled,
    InstanceStopping,
    InstanceUnschedulable,
    WorkerDevicesReleased,
    WorkerDevicesReserved,
)
from modelyard_eventlog.log import Write

from modelyard_scheduler.domain.deployment import DeploymentState
from modelyard_scheduler.domain.instance import LEAVING, UNPLACED, InstanceState, Phase, may
from modelyard_scheduler.domain.names import SUFFIX_ALPHABET, SUFFIX_LENGTH, instance_name
from modelyard_scheduler.domain.placement import (
    Crowd,
    PathSaid,
    Placement,
    Unplaceable,
    candidates,
    place,
    policy_name,
)
from modelyard_scheduler.domain.reconcile import Stop, replicas_plan
from modelyard_scheduler.domain.restart import RestartPolicy, next_restart
from modelyard_scheduler.domain.wants import want_for, wants_plan
from modelyard_scheduler.domain.worker import WorkerPhase
from modelyard_scheduler.handlers.deciding import Decider, Decision, because
from modelyard_scheduler.ports import Alarm, Paths, Wants

logger = structlog.stdlib.get_logger()


def random_suffix() -> str:
    return "".join(random.choices(SUFFIX_ALPHABET, k=SUFFIX_LENGTH))  # noqa: S311 - a name, not a secret


@dataclass(frozen=True, slots=True)
class InstanceHandler:
    decider: Decider
    wants: Wants
    timers: Alarm
    paths: Paths
    restarts: RestartPolicy
    suffix: Callable[[], str] = random_suffix
    jitter: Callable[[], float] = random.random

    # --- how many ------------------------------------------------------------------------------------

    async def reconcile(self, deployment_id: int) -> None:
        """Makes instances match the wish: stops the worst, requests and places what is missing."""
        picture = self.decider.picture
        plan = replicas_plan(
            picture.deployments.get(deployment_id), picture.instances_of(deployment_id), self._silent()
        )
        for stop in plan.stop:
            await self.stop(stop)
        for _ in range(plan.request):
            if not await self.decider.state(lambda: self._request(deployment_id)):
                return
            newest = self.decider.picture.instances_of(deployment_id)[-1:]
            for state in newest:
                await self.place(state.instance_id)

    def _silent(self) -> frozenset[int]:
        workers = self.decider.picture.workers.values()
        return frozenset(worker.worker_id for worker in workers if worker.phase is WorkerPhase.SILENT)

    def _request(self, deployment_id: int) -> Decision | None:
        picture = self.decider.picture
        deployment = picture.deployments.get(deployment_id)
        plan = replicas_plan(deployment, picture.instances_of(deployment_id), self._silent())
        if deployment is None or plan.request == 0:
            return None
        ident = picture.highest_instance_id + 1
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

    # --- where ---------------------------------------------------------------------------------------

    async def place_waiting(self) -> None:
        """Tries everything that waits for room, the oldest first."""
        for state in self.decider.picture.unplaced():
            await self.place(state.instance_id)

    async def place(self, instance_id: int) -> None:
        state = self.decider.picture.instances.get(instance_id)
        if state is None or state.phase not in UNPLACED:
            return
        said = await self._ask_for_path(state)
        if await self.decider.state(lambda: self._placed(instance_id, said)):
            await self.tell(instance_id)

    async def _ask_for_path(self, state: InstanceState) -> dict[int, PathSaid]:
        if state.spec.source is not Source.LOCAL_PATH:
            return {}
        asked = candidates(state, self.decider.picture.workers.values())
        return dict(await self.paths.ask(state.spec.local_path or "", [w.worker_id for w in asked]))

    def _placed(self, instance_id: int, said: dict[int, PathSaid]) -> Decision | None:
        picture = self.decider.picture
        state = picture.instances.get(instance_id)
        if state is None or state.phase not in UNPLACED or state.deletion_requested:
            return None
        workers = [w for w in picture.workers.values() if w.phase is not WorkerPhase.DELETED]
        same = Counter(other.worker_id for other in picture.instances_of(state.deployment_id))
        crowds = {w.worker_id: Crowd(same[w.worker_id], picture.count_on(w.worker_id)) for w in workers}
        found = place(state, workers, said, crowds)
        decision = events.Decision(
            policy=policy_name(state.spec),
            decided_at_seq=picture.position,
            candidates=found.candidates if isinstance(found, Placement) else 0,
        )
        writes = (
            _scheduled(state, found, decision)
            if isinstance(found, Placement)
            else _unschedulable(state, found, decision)
        )
        return self._about(state, "place", writes) if writes else None

    # --- restart, stop, remove -----------------------------------------------------------------------

    async def restart(self, instance_id: int) -> None:
        """Schedules the restart that a failed instance is due, if any."""
        jitter = self.jitter()

        def decide() -> Decision | None:
            state = self.decider.picture.instances.get(instance_id)
            due = next_restart(state, self.decider.now(), self.restarts, jitter=jitter) if state else None
            if state is None or due is None or state.deletion_requested:
                return None
            restart = InstanceRestartScheduled(
                instance_id=instance_id,
                deployment_id=state.deployment_id,
                attempt=due.attempt,
                streak=due.streak,
                delay_s=due.delay_s,
                restart_at=due.restart_at,
            )
            cause = because(
                f"restart/{instance_id}/{due.attempt}",
                correlation_id=state.correlation_id,
                causation_id=state.last_event_id,
                actor=state.actor,
                time=self.decider.now(),
            )
            return Decision([Write(restart, state.seq)], cause)

        if await self.decider.state(decide):
            await self.wake(instance_id)

    async def wake(self, instance_id: int) -> None:
        """Tells the worker of a restart that is due, or sets the timer for it."""
        state = self.decider.picture.instances.get(instance_id)
        if state is None or state.phase is not Phase.BACKING_OFF or state.restart_at is None:
            return
        if state.restart_at <= self.decider.now():
            await self.tell(instance_id)
        else:
            await self.timers.set(f"restart.{instance_id}.{state.attempt}", state.restart_at)

    async def start_again(self, instance_id: int, *, attempt: int) -> None:
        """The timer of this attempt has fired: the server's clock says it is time, whatever ours says."""
        state = self.decider.picture.instances.get(instance_id)
        if state is None or state.phase is not Phase.BACKING_OFF or state.attempt != attempt:
            return
        await self.tell(instance_id, at=max(self.decider.now(), state.restart_at or self.decider.now()))

    async def stop(self, stop: Stop) -> None:
        def decide() -> Decision | None:
            state = self.decider.picture.instances.get(stop.instance_id)
            if state is None or state.phase in LEAVING:
                return None
            who = {"instance_id": state.instance_id, "deployment_id": state.deployment_id}
            if not state.deletion_requested:
                state = self._as_wished(state)
            if state.phase in UNPLACED:
                return self._about(
                    state, "remove", [Write(InstanceRemoved(**who, reason=stop.reason), state.seq)]
                )
            return self._about(state, "stop", [Write(InstanceStopping(**who, reason=stop.reason), state.seq)])

        if await self.decider.state(decide):
            await self.tell(stop.instance_id)

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

    async def remove_from_worker(self, worker_id: int, reason: str) -> None:
        """Gives up what was on a worker that is gone; what is left there is stopped should it come back."""
        for state in self.decider.picture.instances_on(worker_id):
            want = want_for(state, self.decider.now())
            if await self.decider.state(partial(self._removal, state.instance_id, reason)) and want:
                await self.wants.put(want.model_copy(update={"state": "absent"}))

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
        return self._about(state, "remove", writes)

    # --- telling the workers -------------------------------------------------------------------------

    async def tell(self, instance_id: int, *, at: datetime | None = None) -> None:
        """Puts the want that follows from the instance's state at the time `at`, now if not given."""
        state = self.decider.picture.instances.get(instance_id)
        want = want_for(state, at or self.decider.now()) if state else None
        if want is not None:
            await self.wants.put(want)

    async def tell_all(self) -> None:
        """Compares every want with the picture and mends the differences, as the picture is by then."""
        await self.decider.feed.catch_up()
        held = await self.wants.read_all()
        plan = wants_plan(self.decider.picture, held, self.decider.now())
        for want in plan.put:
            state = self.decider.picture.instances.get(want.instance_id)
            now_wanted = want_for(state, self.decider.now()) if state else want
            if now_wanted is not None:
                await self.wants.put(now_wanted)
        for worker_id, instance_id in plan.forget:
            await self.wants.forget(worker_id, instance_id)

    def _about(self, state: InstanceState, what: str, writes: list[Write]) -> Decision:
        """A decision in the instance's story; the same one on the same state is the same command."""
        return Decision(
            writes,
            because(
                f"{what}/{state.instance_id}/{state.seq}",
                correlation_id=state.correlation_id,
                causation_id=state.last_event_id,
                actor=state.actor,
                time=self.decider.now(),
            ),
        )


def _scheduled(state: InstanceState, found: Placement, decision: events.Decision) -> list[Write]:
    """One batch: two schedulers cannot both take the same room."""
    return [
        Write(
            WorkerDevicesReserved(
                worker_id=found.worker.worker_id, instance_id=state.instance_id, claim=found.claim
            ),
            found.worker.seq,
        ),
        Write(
            InstanceScheduled(
                instance_id=state.instance_id,
                deployment_id=state.deployment_id,
                worker_id=found.worker.worker_id,
                worker_name=found.worker.name,
                claim=found.claim,
                decision=decision,
            ),
            state.seq,
        ),
    ]


def _unschedulable(state: InstanceState, found: Unplaceable, decision: events.Decision) -> list[Write]:
    """Nothing, if the reasons are those that were stated last."""
    if state.phase is Phase.UNSCHEDULABLE and state.reasons == found.stated():
        return []
    unschedulable = InstanceUnschedulable(
        instance_id=state.instance_id,
        deployment_id=state.deployment_id,
        message=found.message(),
        reasons=found.stated(),
        decision=decision,
    )
    return [Write(unschedulable, state.seq)]
