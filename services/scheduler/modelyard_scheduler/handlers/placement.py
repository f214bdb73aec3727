"""Places instances on workers, or says why it cannot be done."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial

from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.deployments import Source
from modelyard_contracts.parameters import BadParameters
from modelyard_eventlog.log import Write
from modelyard_placement.filters import worker_obstacle

from modelyard_scheduler.domain.decisions import Said, placed, question
from modelyard_scheduler.domain.instance import UNPLACED, InstanceState, Phase
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.surveys import Surveys
from modelyard_scheduler.handlers.choosing import choose_files
from modelyard_scheduler.handlers.deciding import AT_ONCE, Decider, Decision
from modelyard_scheduler.handlers.wants import WantsHandler
from modelyard_scheduler.ports import Inspections, Paths

REASONS_ANEW = 10


@dataclass(frozen=True, slots=True)
class PlacementHandler:
    decider: Decider
    wants: WantsHandler
    paths: Paths
    inspections: Inspections
    surveys: Surveys = field(default_factory=Surveys)

    async def place_waiting(self) -> None:
        """Tries everything that waits for room, the oldest first. Of what waits already, the reasons of a few
        are looked at anew each time, by turns: all workers have to be looked at for them."""
        waiting = [state.instance_id for state in self.decider.picture.unplaced()]
        turn = int(self.decider.now().timestamp()) * REASONS_ANEW
        some = {waiting[(turn + n) % len(waiting)] for n in range(REASONS_ANEW)} if waiting else set()
        await self.place(waiting, explained=some)

    async def place_new(self, instance_ids: Sequence[int]) -> None:
        """Those of them that nobody has tried yet."""
        known = self.decider.picture.instances
        await self.place([i for i in instance_ids if i in known and known[i].phase is Phase.REQUESTED])

    async def place(self, instance_ids: Sequence[int], *, explained: AbstractSet[int] | None = None) -> None:
        """In this order and many in one batch: each as if those before it were placed already. Those whose
        model is not known yet are left out: they come again once it is."""
        ready = self.inspections.placeable(instance_ids)
        said = await self._ask_for_paths(ready)
        if await choose_files(self.decider, self.surveys.sizer, ready, said):
            ready = self.inspections.placeable(ready)
        for start in range(0, len(ready), AT_ONCE):
            some = ready[start : start + AT_ONCE]
            if await self.decider.state(partial(self._placed, some, said, explained)):
                await self.wants.tell(some)

    async def _ask_for_paths(self, instance_ids: Sequence[int]) -> Said:
        """All are asked at once, and each of a path only once, however many instances wait for it."""
        asked: dict[str, set[int]] = defaultdict(set)
        seen: set[int] = set()
        for ident in instance_ids:
            state = self.decider.picture.instances.get(ident)
            if state is None or state.phase not in UNPLACED or state.spec.source is not Source.LOCAL_PATH:
                continue
            if id(state.spec) not in seen:
                seen.add(id(state.spec))
                asked[state.spec.local_path or ""].update(self.candidates(state))
        answers = await asyncio.gather(*(self.paths.ask(path, sorted(who)) for path, who in asked.items()))
        return dict(zip(asked, answers, strict=True))

    def candidates(self, state: InstanceState) -> list[int]:
        """The workers whose answer would matter: nothing else stands against them."""
        try:
            demand = self.decider.picture.demand(state, None)
        except BadParameters:
            return []
        rooms = self.decider.picture.rooms.everyone()
        return [room.worker.ident for room in rooms if worker_obstacle(demand, room) is None]

    def _placed(
        self, instance_ids: Sequence[int], said: Said, explained: AbstractSet[int] | None
    ) -> Decision | None:
        """One picture for the whole batch."""
        picture = self.decider.picture
        asked = question(picture, said, self.decider.now(), self.surveys, explained)
        checked: set[str] = set()
        writes = [
            (state, _write(picture, event, checked)) for state, event in placed(picture, instance_ids, asked)
        ]
        return self.decider.about_many("place", writes)


def _write(picture: Picture, event: Event, checked: set[str]) -> Write:
    """With the sequence that its aggregate has in the picture; of several events of one aggregate the first
    is checked, and none is kept without it."""
    subject = f"{event.aggregate}/{event.aggregate_id()}"
    if subject in checked:
        return Write(event, None)
    checked.add(subject)
    ident = int(event.aggregate_id())
    if event.aggregate is Aggregate.WORKER:
        return Write(event, picture.workers[ident].seq)
    return Write(event, picture.instances[ident].seq)
