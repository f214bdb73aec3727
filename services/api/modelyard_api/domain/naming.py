"""Names are unique within their kind: a name is free, or held by one id."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import NameClaimed, NameReleased


@dataclass(frozen=True, slots=True)
class NameState:
    held_by: int | None
    seq: int
    claimed_in: str | None
    """The id of the event that claimed it."""


def name_state(events: Sequence[Recorded[Any]]) -> NameState:
    state = NameState(held_by=None, seq=0, claimed_in=None)
    for event in events:
        match event.data:
            case NameClaimed(claimed_by=ident):
                state = NameState(held_by=ident, seq=event.seq, claimed_in=event.id)
            case NameReleased():
                state = NameState(held_by=None, seq=event.seq, claimed_in=None)
            case _:
                continue
    return state
