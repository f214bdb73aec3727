"""Tells the workers what is wanted of them."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from modelyard_contracts.messages import Want

from modelyard_scheduler.domain.instance import InstanceState, homes
from modelyard_scheduler.domain.wants import WantKey, wants_for, wants_plan
from modelyard_scheduler.handlers.deciding import AT_ONCE, Decider
from modelyard_scheduler.ports import Wants


@dataclass(frozen=True, slots=True)
class WantsHandler:
    decider: Decider
    wants: Wants

    async def tell(self, instance_ids: Iterable[int], *, at: datetime | None = None) -> None:
        """Puts the wants that follow from the instances' states at the time `at`, now if not given."""
        found = [self.decider.picture.instances.get(ident) for ident in instance_ids]
        await self._put([want for state in found if state is not None for want in self._wants(state, at)])

    async def tell_groups(self, instance_ids: Iterable[int]) -> None:
        """Those among them that are on several workers: what one did is news to the others."""
        instances = self.decider.picture.instances
        found = [ident for ident in instance_ids if ident in instances and instances[ident].subordinates]
        await self.tell(found)

    def _wants(self, state: InstanceState, at: datetime | None = None) -> tuple[Want, ...]:
        picture = self.decider.picture
        backend, model = picture.backend_of(state.spec), picture.facts_of(state)
        return wants_for(state, at or self.decider.now(), backend, model)

    async def tell_gone(self, states: Sequence[InstanceState]) -> None:
        """Whatever their workers may still have of them is to end."""
        wants = [want for state in states for want in self._wants(state)]
        await self._put([want.model_copy(update={"state": "absent"}) for want in wants])

    async def forget(self, states: Sequence[InstanceState]) -> None:
        """Nothing is left of them."""
        await self._forget([(worker_id, s.instance_id) for s in states for worker_id in homes(s)])

    async def tell_all(self) -> None:
        """Compares every want with the picture and mends the differences, one by one, as the picture is by
        then."""
        await self.decider.feed.catch_up()
        held = await self.wants.read_all()
        plan = wants_plan(self.decider.picture, held, self.decider.now())
        for want in plan.put:
            if want.instance_id in self.decider.picture.instances:
                await self.tell([want.instance_id])
            elif want.state == "absent":
                await self.wants.put(want)
        await self._forget(plan.forget)

    async def _put(self, wants: Sequence[Want]) -> None:
        for start in range(0, len(wants), AT_ONCE):
            await asyncio.gather(*(self.wants.put(want) for want in wants[start : start + AT_ONCE]))

    async def _forget(self, keys: Sequence[WantKey]) -> None:
        for start in range(0, len(keys), AT_ONCE):
            await asyncio.gather(*(self.wants.forget(*key) for key in keys[start : start + AT_ONCE]))
