"""`make bench`: every figure beside its baseline, measured in the same run."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable

from bench import append
from bench.report import Figure, print_figures

BENCHES: dict[str, tuple[str, Callable[[], Awaitable[list[Figure]]]]] = {
    "append": ("Append latency (baseline: bare nats-py on the same stream)", append.measure),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("only", nargs="*", choices=[*BENCHES, []], help="which ones; all if none is named")
    names = parser.parse_args().only or list(BENCHES)
    for name in names:
        title, measure = BENCHES[name]
        print_figures(title, asyncio.run(_run(measure)))


async def _run(measure: Callable[[], Awaitable[list[Figure]]]) -> list[Figure]:
    return await measure()


if __name__ == "__main__":
    main()
