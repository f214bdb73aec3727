"""`make bench-gateway`: what a request and a streamed chunk cost, ourselves beside others in one run."""

import argparse
import asyncio
import contextlib
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.gateway import load, own, rivals
from bench.gateway.contenders import Contender, missing, nginx_proxy, ourselves, streamer, stub
from bench.report import Figure, print_figures, print_table

BASE = "nginx, plain proxy"


async def unary(directory: Path, rounds: int, seconds: int) -> list[Figure]:
    async with contextlib.AsyncExitStack() as stack:
        upstream = stack.enter_context(stub(directory))
        contenders = [
            Contender("direct", upstream),
            stack.enter_context(nginx_proxy(directory, upstream)),
            await stack.enter_async_context(ourselves(directory, upstream)),
        ]
        if rivals.installed():
            contenders.append(await stack.enter_async_context(rivals.sglang_router(directory, upstream)))
            contenders.append(await stack.enter_async_context(rivals.litellm(directory, upstream)))
        busy: dict[str, list[load.Requests]] = {contender.name: [] for contender in contenders}
        alone: dict[str, list[load.Requests]] = {contender.name: [] for contender in contenders}
        for _ in range(rounds):
            for contender in contenders:
                busy[contender.name].append(
                    load.requests(contender, directory, connections=64, seconds=seconds)
                )
                alone[contender.name].append(
                    load.requests(contender, directory, connections=1, seconds=seconds)
                )
    return _unary_figures(busy, alone)


def _unary_figures(
    busy: dict[str, list[load.Requests]], alone: dict[str, list[load.Requests]]
) -> list[Figure]:
    figures: list[Figure] = []
    cpu = {name: median(one.cpu_us for one in many) for name, many in busy.items()}
    rate = {name: median(one.per_s for one in many) for name, many in busy.items()}
    wait = {name: median(one.latency_us for one in many) for name, many in alone.items()}
    for name in busy:
        if name != "direct":
            figures.append(Figure(f"{name}: CPU per request", cpu[name], "us", cpu[name] / cpu[BASE]))
        figures.append(Figure(f"{name}: requests", rate[name], "/s", rate[name] / rate[BASE]))
        figures.append(Figure(f"{name}: time at 1 connection", wait[name], "us", wait[name] / wait[BASE]))
        failed = sum(one.failed for one in busy[name])
        if failed:
            figures.append(Figure(f"{name}: failed requests", failed, ""))
    return figures


async def streamed(directory: Path, rounds: int, count: int, chunks: int) -> list[Figure]:
    async with contextlib.AsyncExitStack() as stack:
        upstream = stack.enter_context(streamer(directory))
        contenders = [
            stack.enter_context(nginx_proxy(directory, upstream)),
            await stack.enter_async_context(ourselves(directory, upstream, name="modelyard, streams")),
        ]
        others = []
        if rivals.installed():
            others.append(await stack.enter_async_context(rivals.sglang_router(directory, upstream)))
            others.append(await stack.enter_async_context(rivals.litellm(directory, upstream)))
        found: dict[str, list[load.Streams]] = {one.name: [] for one in (*contenders, *others)}
        for _ in range(rounds):
            for contender in (*contenders, *others):
                found[contender.name].append(
                    await load.streams(contender, count, chunks=chunks, interval_ms=20)
                )
        idle = {one.name: await load.idle_stream_bytes(one, 1000) for one in contenders}
    cpu = {name: median(one.cpu_us for one in many) for name, many in found.items()}
    figures = []
    for name, many in found.items():
        figures.append(
            Figure(f"{name}: CPU per chunk, {count} streams", cpu[name], "us", cpu[name] / cpu[BASE])
        )
        figures.append(Figure(f"{name}: streams with lost chunks", sum(one.lost for one in many), ""))
        if name in idle:
            figures.append(Figure(f"{name}: memory per idle stream", idle[name] / 1024, "KiB"))
    return figures


SECTIONS = ("unary", "streams", "flat", "workers", "steady")


async def measured(section: str, directory: Path, options: argparse.Namespace) -> tuple[str, list[Figure]]:
    rounds, seconds = options.rounds, options.seconds
    if section == "unary":
        return "Requests, 64 connections", await unary(directory, rounds, seconds)
    if section == "streams":
        return "Streams", await streamed(directory, rounds, 256, 100)
    if section == "flat":
        return "As the table grows", await own.flat(directory, rounds, seconds)
    if section == "workers":
        return "Processes that share a port", await own.workers(directory, rounds, seconds)
    steady = own.steady(directory, options.streams, options.minutes, options.interval_ms)
    return "Streams for minutes", await steady


BASES = {"flat": "to the few", "workers": "to one"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-gateway")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", choices=SECTIONS, action="append")
    parser.add_argument("--streams", type=int, default=1000, help="of the section 'steady'")
    parser.add_argument("--minutes", type=float, default=5.0, help="of the section 'steady'")
    parser.add_argument("--interval-ms", type=int, default=1000, help="between two events of a steady stream")
    parser.add_argument("--markdown", action="store_true", help="tables, as the README has them")
    options = parser.parse_args()
    absent = missing()
    if absent is not None:
        print(absent)
        return
    print(f"Beside us: {rivals.versions()}" if rivals.installed() else "Rivals are not installed.")
    for section in options.only or SECTIONS:
        with TemporaryDirectory() as directory:
            title, figures = asyncio.run(measured(section, Path(directory), options))
        base = BASES.get(section, "to nginx")
        if options.markdown:
            print_table(title, figures, base)
        else:
            print_figures(f"{title} (ratios {base})", figures)


if __name__ == "__main__":
    main()
