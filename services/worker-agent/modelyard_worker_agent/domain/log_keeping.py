"""Which logs are kept: of an instance so many starts and bytes, of one that was removed for so long."""

from collections.abc import Mapping
from datetime import datetime


def bytes_of_a_start(instance_bytes: int) -> int:
    """Half of what an instance may keep, so that there is room for the starts before it."""
    return instance_bytes // 2


def starts_to_forget(sizes: Mapping[int, int], *, starts: int, instance_bytes: int) -> list[int]:
    """The starts whose logs go, by the sizes of all: the oldest. The last one is still being written."""
    room = instance_bytes - bytes_of_a_start(instance_bytes)
    newest_first = sorted(sizes, reverse=True)
    kept = 1
    for start in newest_first[1:starts]:
        room -= sizes[start]
        if room < 0:
            break
        kept += 1
    return sorted(newest_first[kept:])


def removals_to_forget(removed_at: Mapping[int, datetime], moment: datetime, kept_s: float) -> list[int]:
    """The instances whose logs go, by when they were removed."""
    return sorted(
        instance for instance, removed in removed_at.items() if (moment - removed).total_seconds() > kept_s
    )
