"""How long one estimate takes, from metadata that is at hand: CPU time, medians of some rounds."""

import statistics
import time
from collections.abc import Callable

from real_models import config_of, starts

MOST_MS = 5.0
ROUNDS = 5


def print_times() -> int:
    """How many targets are missed."""
    times = [_median_ms(start.need) for start in starts() if config_of(start.row["model"])]
    verdict = "met" if max(times) <= MOST_MS else f"MISSED: {MOST_MS:g} ms"
    print("\nTime of one estimate")
    print(f"  median {statistics.median(times):.2f} ms, worst {max(times):.2f} ms of CPU  {verdict}")
    return int(max(times) > MOST_MS)


def _median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append((time.process_time() - began) * 1000)
    return statistics.median(times)
