"""Which models give way to another one, so that disk and quota suffice."""

from collections.abc import Sequence
from dataclasses import dataclass


class DiskFull(Exception):
    """Even without all that may go there is no room; the message names the need and the space."""


@dataclass(frozen=True, slots=True)
class OnDisk:
    model_id: str
    used_bytes: int
    last_used: float
    """Seconds since the epoch."""
    in_use: bool
    """It is served, wanted by an instance, or being fetched: it stays."""


@dataclass(frozen=True, slots=True)
class Space:
    free_bytes: int
    quota_bytes: int
    """Most that all models may take together; 0: as much as there is."""
    promised_bytes: int = 0
    """What other downloads under way will still take."""


def evictions(model: str, need_bytes: int, there: Sequence[OnDisk], space: Space) -> tuple[str, ...]:
    """Ids of the models to delete before `need_bytes` more of `model` come: the least recently used first.

    Raises `DiskFull`; then nothing is to be deleted.
    """
    kept_bytes = sum(each.used_bytes for each in there)
    lacking = need_bytes + space.promised_bytes - space.free_bytes
    if space.quota_bytes:
        lacking = max(lacking, need_bytes + space.promised_bytes + kept_bytes - space.quota_bytes)
    idle = sorted((each for each in there if not each.in_use), key=lambda each: each.last_used)
    chosen: list[str] = []
    for each in idle:
        if lacking <= 0:
            break
        chosen.append(each.model_id)
        lacking -= each.used_bytes
    if lacking > 0:
        raise DiskFull(_why(model, need_bytes, sum(each.used_bytes for each in idle), kept_bytes, space))
    return tuple(chosen)


def room_bytes(there: Sequence[OnDisk], space: Space) -> int:
    """The most that `evictions` would find room for."""
    idle_bytes = sum(each.used_bytes for each in there if not each.in_use)
    room = space.free_bytes
    if space.quota_bytes:
        room = min(room, space.quota_bytes - sum(each.used_bytes for each in there))
    return max(0, room + idle_bytes - space.promised_bytes)


def _why(model: str, need_bytes: int, idle_bytes: int, kept_bytes: int, space: Space) -> str:
    said = f"{model} needs {need_bytes} bytes more, and {space.free_bytes} are free on the disk"
    if space.promised_bytes:
        said += f", of which other downloads will take {space.promised_bytes}"
    if space.quota_bytes:
        said += f"; models take {kept_bytes} of the {space.quota_bytes} that they may"
    return (
        f"{said}; models that are not in use hold {idle_bytes}: free some space, raise the quota "
        "or delete model files"
    )
