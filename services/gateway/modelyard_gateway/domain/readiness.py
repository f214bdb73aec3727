"""Whether the routing table may be trusted."""

from dataclasses import dataclass


@dataclass
class Readiness:
    """`caught_up`: the table once held all that the log held when this process started; it stays so when
    the log goes away. `halted` says why the table no longer changes."""

    caught_up: bool = False
    halted: str | None = None
