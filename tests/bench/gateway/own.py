"""Ourselves beside ourselves: with much in the table, with two processes, and with streams for minutes."""

import asyncio
import contextlib
import os
from pathlib import Path
from statistics import median

from bench.gateway import load
from bench.gateway.contenders import Contender, ourselves, streamer, stub
from bench.report import Figure

CROWD = 999
SAMPLE_S = 5.0


async def flat(directory: Path, rounds: int, seconds: int) -> list[Figure]:
    """A route, an instance and a key, beside a thousand, a thousand and ten thousand."""
    async with contextlib.AsyncExitStack() as stack:
        upstream = stack.enter_context(stub(directory))
        few = await stack.enter_async_context(ourselves(directory, upstream, name="few"))
        many = await stack.enter_async_context(ourselves(directory, upstream, name="many", crowd=CROWD))
        cost, _ = _cost([few, many], directory, rounds, seconds)
    return [
        Figure("1 route, instance and key: CPU per request", cost["few"], "us", 1.0),
        Figure(
            "1,000 routes and instances, 10,000 keys: CPU per request",
            cost["many"],
            "us",
            cost["many"] / cost["few"],
        ),
    ]


async def workers(directory: Path, rounds: int, seconds: int) -> list[Figure]:
    """One process beside two that share the port; the load's own processes share the cores with them."""
    async with contextlib.AsyncExitStack() as stack:
        upstream = stack.enter_context(stub(directory))
        one = await stack.enter_async_context(ourselves(directory, upstream, name="1 process"))
        flags = ("--workers", "2")
        two = await stack.enter_async_context(ourselves(directory, upstream, name="2 processes", flags=flags))
        cost, rate = _cost([one, two], directory, rounds, seconds)
    figures = []
    for name in cost:
        figures.append(Figure(f"{name}: CPU per request", cost[name], "us", cost[name] / cost[one.name]))
        figures.append(Figure(f"{name}: requests", rate[name], "/s", rate[name] / rate[one.name]))
    figures.append(Figure("load of the machine (1 minute)", os.getloadavg()[0], ""))
    return figures


def _cost(
    contenders: list[Contender], directory: Path, rounds: int, seconds: int
) -> tuple[dict[str, float], dict[str, float]]:
    """CPU per request and requests per second, of all in turns."""
    found: dict[str, list[load.Requests]] = {one.name: [] for one in contenders}
    for _ in range(rounds):
        for one in contenders:
            found[one.name].append(load.requests(one, directory, connections=64, seconds=seconds))
    cost = {name: median(one.cpu_us for one in many) for name, many in found.items()}
    return cost, {name: median(one.per_s for one in many) for name, many in found.items()}


async def steady(directory: Path, count: int, minutes: float, interval_ms: int) -> list[Figure]:
    """Many streams for minutes: every event of every stream has a number, and is looked for in its turn."""
    chunks = round(minutes * 60_000 / interval_ms)
    async with contextlib.AsyncExitStack() as stack:
        upstream = stack.enter_context(streamer(directory))
        one = await stack.enter_async_context(ourselves(directory, upstream))
        before = load.resident_bytes(one.pids)
        most = before

        async def watch() -> None:
            nonlocal most
            while True:
                await asyncio.sleep(SAMPLE_S)
                most = max(most, load.resident_bytes(one.pids))

        watching = asyncio.create_task(watch())
        found = await load.streams(one, count, chunks=chunks, interval_ms=interval_ms)
        watching.cancel()
    return [
        Figure("streams at a time", count, ""),
        Figure("minutes", chunks * interval_ms / 60_000, ""),
        Figure("events", found.chunks, ""),
        Figure("streams with a lost, doubled or reordered event", found.lost, ""),
        Figure("CPU per event", found.cpu_us, "us"),
        Figure("memory per stream", (most - before) / count / 1024, "KiB", target="60"),
    ]
