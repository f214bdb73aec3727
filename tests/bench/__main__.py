"""`make bench`: every figure beside its baseline, measured in the same run."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine

from bench import agent, append, deploy, log_follow, placement, restart, schedule, visible
from bench.report import Figure, print_figures

BENCHES: dict[str, tuple[str, Callable[[], Coroutine[None, None, list[Figure]]]]] = {
    "append": ("Append latency (baseline: bare nats-py on the same stream)", append.measure),
    "visible": ("Read models (baseline: the append alone; reading the log alone)", visible.measure),
    "schedule": ("The scheduler through the log (baseline: a loop that only writes)", schedule.measure),
    "placement": ("Placements (baseline: a loop over all workers)", placement.measure),
    "restart": ("A scheduler starts on 100,000 events (baseline: reading them)", restart.measure),
    "agent": ("An agent (baseline: one with nothing to look after)", agent.measure),
    "logs": ("Following a log (baseline: bare nats-py with as many bytes)", log_follow.measure),
    "deploy": ("Deploy to process (baseline: the operating system's own start of it)", deploy.measure),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("only", nargs="*", choices=list(BENCHES), help="which ones; all if none is named")
    names = parser.parse_args().only or list(BENCHES)
    for name in names:
        title, measure = BENCHES[name]
        print_figures(title, asyncio.run(measure()))


if __name__ == "__main__":
    main()
