"""Whether the routing table may be trusted."""

from dataclasses import dataclass
from datetime import datetime


@dataclass
class Readiness:
    """`caught_up`: the table once held all that the log held when this process started; it stays so when
    the log goes away. `halted` says why the table no longer changes. `from_snapshot`: the log could not be
    asked yet, and the table is as it was when it was last kept on disk."""

    caught_up: bool = False
    halted: str | None = None
    from_snapshot: bool = False
    log_created: datetime | None = None
    """Of the log that the table follows."""
