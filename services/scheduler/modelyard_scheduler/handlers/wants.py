"""Tells the workers what is wanted of them."""

from dataclasses import dataclass
from datetime import datetime

from modelyard_scheduler.domain.instance import InstanceState
from modelyard_scheduler.domain.wants import want_for, wants_plan
from modelyard_scheduler.handlers.deciding import Decider
from modelyard_scheduler.ports import Wants


@dataclass(frozen=True, slots=True)
class WantsHandler:
    decider: Decider
    wants: Wants

    async def tell(self, instance_id: int, *, at: datetime | None = None) -> None:
        """Puts the want that follows from the instance's state at the time `at`, now if not given."""
        state = self.decider.picture.instances.get(instance_id)
        want = want_for(state, at or self.decider.now()) if state else None
        if want is not None:
            await self.wants.put(want)

    async def tell_gone(self, state: InstanceState) -> None:
        """Whatever the worker may still have of it is to end."""
        want = want_for(state, self.decider.now())
        if want is not None:
            await self.wants.put(want.model_copy(update={"state": "absent"}))

    async def forget(self, worker_id: int, instance_id: int) -> None:
        """Nothing is left of it."""
        await self.wants.forget(worker_id, instance_id)

    async def tell_all(self) -> None:
        """Compares every want with the picture and mends the differences, as the picture is by then."""
        await self.decider.feed.catch_up()
        held = await self.wants.read_all()
        plan = wants_plan(self.decider.picture, held, self.decider.now())
        for want in plan.put:
            state = self.decider.picture.instances.get(want.instance_id)
            if state is not None:
                await self.tell(want.instance_id)
            elif want.state == "absent":
                await self.wants.put(want)
        for worker_id, instance_id in plan.forget:
            await self.wants.forget(worker_id, instance_id)
