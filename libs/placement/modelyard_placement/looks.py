"""What a decision looked at, as JSON: in groups for people, or every worker and device by itself."""

from collections.abc import Mapping
from typing import Any

from modelyard_contracts.deployments import Alike

from modelyard_placement.pages import unpack
from modelyard_placement.verdicts import MOST_GROUPS, alike

Json = dict[str, Any]


def in_groups(decision: Json) -> Json:
    """With `verdicts` for what it states in `pages`."""
    verdicts = [one.model_dump(mode="json") for one in _verdicts(decision, MOST_GROUPS)]
    return {**decision, "verdicts": verdicts, "pages": []}


def one_by_one(decision: Json, names: Mapping[int, str]) -> list[Json]:
    """In the order of the workers' ids and their devices; a worker as a whole where `device` is None. `names`
    of workers, by id."""
    found = []
    for one in _verdicts(decision, None):
        told = one.model_dump(mode="json", exclude={"members"})
        for members in one.members:
            for first, last in members.workers:
                found += [
                    {"worker_id": ident, "worker": names.get(ident), "device": device, **told}
                    for ident in range(first, last + 1)
                    for device in members.devices or (None,)
                ]
    return sorted(found, key=lambda row: (row["worker_id"], _place(row["device"])))


def _verdicts(decision: Json, most_groups: int | None) -> tuple[Alike, ...]:
    pages = decision.get("pages")
    if pages:
        return alike(unpack(pages), most_groups=most_groups)
    return tuple(Alike.model_validate(one) for one in decision["verdicts"])


def _place(device: str | None) -> tuple[str, int]:
    kind, _, index = (device or ":-1").rpartition(":")
    return kind, int(index)
