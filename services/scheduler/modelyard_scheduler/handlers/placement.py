"""Places instances on workers, or says why it cannot be done."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.deployments import Source
from modelyard_eventlog.log import Write

from modelyard_scheduler.domain.decisions import assumed, placed
from modelyard_scheduler.domain.instance import UNPLACED, InstanceState, Phase
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.placement import PathSaid, candidates
from modelyard_scheduler.handlers.deciding import AT_ONCE, Decider, Decision
from modelyard_scheduler.handlers.wants import WantsHandler
from modelyard_scheduler.ports import Inspections, Paths

Said = Mapping[str, Mapping[int, PathSaid]]
"""What workers say of paths, by path and worker."""


@dataclass(frozen=True, slots=True)
class PlacementHandler:
    decider: Decider
    wants: WantsHandler
    paths: Paths
    inspections: Inspections

    async def place_waiting(self) -> None:
        """Tries everything that waits for room, the oldest first."""
        await self.place([state.instance_id for state in self.decider.picture.unplaced()])

    async def place_new(self, instance_ids: Sequence[int]) -> None:
        """Those of them that nobody has tried yet."""
        known = self.decider.picture.instances
        await self.place([i for i in instance_ids if i in known and known[i].phase is Phase.REQUESTED])

    async def place(self, instance_ids: Sequence[int]) -> None:
        """In this order and many in one batch: each as if those before it were placed already. Those whose
        model is not known yet are left out: they come again once it is."""
        known = self.inspections.placeable(instance_ids)
        said = await self._ask_for_paths(known)
        for start in range(0, len(known), AT_ONCE):
            some = known[start : start + AT_ONCE]
            if await self.decider.state(partial(self._placed, some, said)):
                await self.wants.tell(some)

    async def _ask_for_paths(self, instance_ids: Sequence[int]) -> Said:
        """All are asked at once, and each of a path only once, however many instances wait for it."""
        picture = self.decider.picture
        asked: dict[str, set[int]] = defaultdict(set)
        seen: set[int] = set()
        for ident in instance_ids:
            state = picture.instances.get(ident)
            if state is None or state.phase not in UNPLACED or state.spec.source is not Source.LOCAL_PATH:
                continue
            if id(state.spec) not in seen:
                seen.add(id(state.spec))
                usable = candidates(state, picture.workers.values())
                asked[state.spec.local_path or ""].update(w.worker_id for w in usable)
        answers = await asyncio.gather(*(self.paths.ask(path, sorted(who)) for path, who in asked.items()))
        return dict(zip(asked, answers, strict=True))

    def _placed(self, instance_ids: Sequence[int], said: Said) -> Decision | None:
        """One picture for the whole batch; what is decided first is there for what comes after."""
        picture = self.decider.picture
        draft = picture.draft()
        writes: list[tuple[InstanceState, Write]] = []
        checked: set[str] = set()
        for ident in instance_ids:
            state = draft.instances.get(ident)
            if state is None:
                continue
            answers = said.get(state.spec.local_path or "", {})
            for event in placed(draft, ident, answers, picture.position):
                draft.apply(assumed(draft, event, self.decider.now()))
                writes.append((state, _write(picture, event, checked)))
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
