"""A past placement, decided once more from the log alone: it must come to the same fact, byte for byte."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.deployments import Claim
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import InstanceScheduled, InstanceUnschedulable, WorkerDevicesReserved
from modelyard_placement.claims import Sizer
from modelyard_placement.picture import Holding
from modelyard_placement.scores import policy_of
from modelyard_placement.survey import Rows

from modelyard_scheduler.domain.decisions import Question, facts, held_from, paths_for, ungrouped
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
        return _bytes(_as_stated_then(self.again, self.recorded)) == _bytes(self.recorded)


@dataclass(slots=True)
class Replay:
    """Give it the events of the log in their order, up to the decision. It can go on to later ones."""

    picture: Picture = field(default_factory=Picture)
    sizer: Sizer = field(default_factory=Sizer)
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

    def looks(self, decision: Recorded[Event]) -> Mapping[str, Rows]:
        """What each worker and device was to the instance when this was decided, by the worker's name.
        Raises `NotReplayable`."""
        fact = placement_fact(decision)
        with self._at(decision, fact) as (state, question):
            surveys = Surveys(self.picture, self.sizer, question.looks)
            found = surveys.rows(state, paths_for(state, question.said), held_from(state, question))
        return {self.picture.workers[ident].name: rows for ident, rows in found.items()}

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
        try:
            for holding in taken:
                self.picture.rooms.take(holding)
            yield state, Question(said, fact.decision.decided_at_seq, self.sizer, hold)
        finally:
            for holding in taken:
                self.picture.rooms.give_back(holding.worker, holding.instance)

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
                instance = self.picture.instances.get(reserved.instance_id)
                deployment_id = instance.deployment_id if instance else None
                own = reserved.instance_id == int(decision.data.aggregate_id())
                if not own:
                    found.append(
                        Holding(reserved.instance_id, deployment_id, reserved.worker_id, reserved.claim)
                    )
        return found


def placement_fact(decision: Recorded[Event]) -> PlacementFact:
    """Raises `NotReplayable`."""
    fact = decision.data
    if not isinstance(fact, (InstanceScheduled, InstanceUnschedulable)):
        raise NotReplayable(f"event {decision.seq} is {decision.type}, not the decision of a placement")
    if fact.decision.policy == INSPECTION:
        raise NotReplayable(
            f"event {decision.seq} was decided by what the model's source said, which is not in the log"
        )
    return fact


def placement_or_none(events: Sequence[Event]) -> PlacementFact | None:
    for event in events:
        if isinstance(event, (InstanceScheduled, InstanceUnschedulable)):
            return event
    return None


def _as_stated_then(again: PlacementFact, recorded: PlacementFact) -> PlacementFact:
    """Without what older builds did not state: verdicts, and what claims hold beside a share."""
    told: dict[str, object] = {} if recorded.decision.verdicts else {"verdicts": ()}
    strategy, version = policy_of(recorded.decision.policy)
    if version >= BESIDE_SINCE or strategy != policy_of(again.decision.policy)[0]:
        return again.model_copy(update={"decision": again.decision.model_copy(update=told)})
    told["policy"] = recorded.decision.policy
    plain = again.model_copy(update={"decision": again.decision.model_copy(update=told)})
    if isinstance(plain, InstanceUnschedulable):
        return plain
    parts = [part.model_copy(update={"claim": _without_beside(part.claim)}) for part in plain.subordinates]
    return plain.model_copy(update={"claim": _without_beside(plain.claim), "subordinates": tuple(parts)})


def _without_beside(claim: Claim) -> Claim:
    return claim.model_copy(update={"beside_bytes": {}})


def _bytes(event: Event) -> bytes:
    """As JSON with sorted keys: over REST, events come without the order of theirs."""
    return json.dumps(event.model_dump(mode="json"), sort_keys=True).encode()
