"""How fast a download goes and how long it still takes."""

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 15.0


@dataclass(slots=True)
class Speedometer:
    """Told now and then how many bytes are there."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, at_s: float, done_bytes: int) -> None:
        self.seen.append((at_s, done_bytes))
        while len(self.seen) > 2 and at_s - self.seen[0][0] > WINDOW_S:
            self.seen.popleft()

    def bytes_per_s(self) -> float | None:
        """Over the last seconds; None until there are two looks."""
        if len(self.seen) < 2:
            return None
        (first_s, first_bytes), (last_s, last_bytes) = self.seen[0], self.seen[-1]
        passed = last_s - first_s
        return max(last_bytes - first_bytes, 0) / passed if passed > 0 else None


def remaining_s(total_bytes: int, done_bytes: int, bytes_per_s: float | None) -> float | None:
    """None while it is not known."""
    if not bytes_per_s:
        return None
    return max(total_bytes - done_bytes, 0) / bytes_per_s
