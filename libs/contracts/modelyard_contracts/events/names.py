"""Which names are taken."""

from typing import ClassVar

from modelyard_contracts.base import Aggregate, Event, Owner


class NameEvent(Event):
    """A name is unique within its kind; two commands that want the same one meet on this aggregate."""

    aggregate: ClassVar[Aggregate] = Aggregate.NAME
    owner: ClassVar[Owner] = Owner.API
    kind: Aggregate
    name: str

    def aggregate_id(self) -> str:
        return name_id(self.kind, self.name)


class NameClaimed(NameEvent):
    claimed_by: int


class NameReleased(NameEvent):
    released_by: int


def name_id(kind: Aggregate, name: str) -> str:
    """The id of a name's aggregate; the name in hex, since names may hold what a subject may not."""
    return f"{kind}-{name.encode().hex()}"
