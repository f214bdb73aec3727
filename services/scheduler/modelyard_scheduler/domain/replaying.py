"""A past placement, decided once more from the log alone: it must come to the same fact, byte for byte."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.deployments import Claim
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    Decision,
    InstanceScheduled,
    InstanceUnschedulable,
    WorkerDevicesReserved,
)
from modelyard_placement.pages import text, unit_of, unpack
from modelyard_placement.picture import Holding
from modelyard_placement.scores import policy_of
from modelyard_placement.verdicts import alike

from modelyard_scheduler.domain.decisions import Question, facts, ungrouped
from modelyard_scheduler.domain.holding_back import held_again
from modelyard_scheduler.domain.instance import InstanceState
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.surveys import Surveys
from modelyard_scheduler.domain.uninspected import uninspected

PlacementFact = InstanceScheduled | InstanceUnschedulable
NEEDED = frozenset(
    {
        Aggregate.DEPLOYMENT,
        Aggregate.INSTANCE,
        Aggregate.WORKER,
        Aggregate.FLEET,
        Aggregate.MODEL,
        Aggregate.MODEL_FILE,
        Aggregate.CHOICE,
    }
)
"""Facts about anything else decide no placement."""
INSPECTION = "inspect/1"
"""Policy of older versions, which did not keep what the source of a model had said."""
BESIDE_SINCE = 4
"""The version of the policies that counts what runs beside a share."""
COMING_SINCE = 5
"""The version of the policies that counts the disk which models of instances placed before will take."""


class NotReplayable(Exception):
    """The event is no placement, or was not decided on the log alone; the message says which."""


@dataclass(frozen=True, slots=True)
class Replayed:
    recorded: PlacementFact
    again: PlacementFact | None
    """None: nothing would be stated."""

    @property
    def identical(self) -> bool:
        if self.again is None:
            return False
        again = _as_stated_then(self.again, self.recorded)
        unit = max(unit_of(again.decision.pages), unit_of(self.recorded.decision.pages))
        return _bytes(again, unit) == _bytes(self.recorded, unit)


@dataclass(slots=True)
class Replay:
    """Give it the events of the log in their order, up to the decision. It can go on to later ones."""

    picture: Picture = field(default_factory=Picture)
    _surveys: Surveys = field(default_factory=Surveys)
    _beyond: list[Recorded[Event]] = field(default_factory=list)
    """Events beyond what the next decision was made on."""

    def add(self, events: Iterable[Recorded[Event]]) -> None:
        self._beyond.extend(events)

    def decide(self, decision: Recorded[Event]) -> Replayed:
        """The decision once more. Raises `NotReplayable`."""
        fact = placement_fact(decision)
        with self._at(decision, fact) as (state, question):
            again = self._again(fact, state, question)
        return Replayed(fact, placement_or_none([event for event in again if type(event) is type(fact)]))

    def _again(self, fact: PlacementFact, state: InstanceState, question: Question) -> list[Event]:
        if not fact.decision.sources:
            return facts(self.picture, state, question)
        said = {one.field: one.message for one in fact.decision.sources}
        told = uninspected(self.picture, state, said, question.decided_at_seq)
        return [told] if told else []

    @contextmanager
    def _at(self, decision: Recorded[Event], fact: PlacementFact) -> Iterator[tuple[InstanceState, Question]]:
        """The picture is as when it was decided; afterwards as if nothing were decided yet."""
        self._fold(fact.decision.decided_at_seq)
        state = self.picture.instances.get(fact.instance_id)
        if state is None:
            raise NotReplayable(f"event {decision.seq}: the log up to it has no instance {fact.instance_id}")
        said = {state.spec.local_path or "": ungrouped(fact.decision.paths)}
        hold = held_again(fact.decision.held)
        taken = self._taken_before(decision)
        _, version = policy_of(fact.decision.policy)
        surveys = self._surveys if version >= COMING_SINCE else Surveys(self._surveys.sizer)
        try:
            for holding in taken:
                self.picture.rooms.take(holding)
            if version < COMING_SINCE:
                for room in self.picture.rooms.everyone():
                    room.coming = {}
            yield state, Question(said, fact.decision.decided_at_seq, surveys, hold)
        finally:
            for holding in taken:
                self.picture.rooms.give_back(holding.worker, holding.instance)
            for room in self.picture.rooms.everyone() if version < COMING_SINCE else ():
                room.measure()

    def _fold(self, seq: int) -> None:
        kept = len(self._beyond)
        for position, event in enumerate(self._beyond):
            if event.seq > seq:
                kept = position
                break
            self.picture.apply(event)
        del self._beyond[:kept]

    def _taken_before(self, decision: Recorded[Event]) -> list[Holding]:
        """What the same command had reserved before: its events stand in a row, by their positions."""
        command, _, position = decision.id.rpartition("/")
        earlier = {f"{command}/{number}" for number in range(int(position))}
        found = []
        for event in self._beyond:
            reserved = event.data
            if event.id in earlier and isinstance(reserved, WorkerDevicesReserved):
                own = reserved.instance_id == int(decision.data.aggregate_id())
                if not own:
                    found.append(
                        self.picture.holding(reserved.instance_id, reserved.worker_id, reserved.claim)
                    )
        return found


def placement_fact(decision: Recorded[Event]) -> PlacementFact:
    """Raises `NotReplayable`."""
    fact = decision.data
    if not isinstance(fact, (InstanceScheduled, InstanceUnschedulable)):
        raise NotReplayable(f"event {decision.seq} is {decision.type}, not the decision of a placement")
    if fact.decision.policy == INSPECTION:
        raise NotReplayable(
            f"event {decision.seq} was decided by policy {INSPECTION}, which did not keep what the source of "
            "the model had said, so it cannot be decided again. Since inspect/2 that is kept: delete the "
            "instance, and the decision about the one in its place can be replayed."
        )
    return fact


def placement_or_none(events: Sequence[Event]) -> PlacementFact | None:
    for event in events:
        if isinstance(event, (InstanceScheduled, InstanceUnschedulable)):
            return event
    return None


def _as_stated_then(again: PlacementFact, recorded: PlacementFact) -> PlacementFact:
    """Without what older builds did not state: verdicts, and what claims hold beside a share."""
    told = _told_then(again.decision, recorded.decision)
    strategy, version = policy_of(recorded.decision.policy)
    is_same = strategy == policy_of(again.decision.policy)[0]
    if is_same:
        told["policy"] = recorded.decision.policy
    plain = again.model_copy(update={"decision": again.decision.model_copy(update=told)})
    if version >= BESIDE_SINCE or not is_same or isinstance(plain, InstanceUnschedulable):
        return plain
    parts = [part.model_copy(update={"claim": _without_beside(part.claim)}) for part in plain.subordinates]
    return plain.model_copy(update={"claim": _without_beside(plain.claim), "subordinates": tuple(parts)})


def _told_then(again: Decision, recorded: Decision) -> dict[str, object]:
    """Once, verdicts were not told; later, those of many workers without their devices."""
    if not recorded.verdicts and not recorded.pages:
        return {"verdicts": (), "pages": ()}
    if again.pages and not recorded.pages:
        return {"verdicts": alike(unpack(again.pages), by_device=False), "pages": ()}
    return {}


def _without_beside(claim: Claim) -> Claim:
    return claim.model_copy(update={"beside_bytes": {}})


def _bytes(event: PlacementFact, unit: int) -> bytes:
    """As JSON with sorted keys: over REST, events come without the order of theirs. Pages as what they hold,
    in `unit`: another build of zlib packs the same otherwise."""
    data = event.model_dump(mode="json")
    held = unpack(event.decision.pages)
    data["decision"]["pages"] = {ident: text(rows, unit) for ident, rows in held.items()}
    return json.dumps(data, sort_keys=True).encode()
