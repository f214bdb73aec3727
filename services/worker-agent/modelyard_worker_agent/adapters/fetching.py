"""Runs the process that fetches a model."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from modelyard_worker_agent.adapters.logfiles import LOG, StartLog, last_lines
from modelyard_worker_agent.domain.fetching import FetchEnd, FetchPlan, FetchRequest
from modelyard_worker_agent.launchers.shim import log_parts
from modelyard_worker_agent.ports import DownloadFailed, ModelMissing

LONGEST_LINE_BYTES = 64 << 20
LOG_PART_BYTES = 1 << 20
QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}


async def fetch(
    request: FetchRequest, log: Path, env: dict[str, str], planned: Callable[[FetchPlan], Awaitable[None]]
) -> None:
    """Returns once every file is there with the right checksum. `planned` may raise, which ends it. What is
    said goes to the directory `log`.

    The process ends with this call, in whatever way. Raises `ModelMissing`, `DownloadFailed`.
    """
    with open_log(log).open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "modelyard_worker_agent.launchers.fetch"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            env={**env, **QUIET, "HF_ENDPOINT": request.endpoint},
            limit=LONGEST_LINE_BYTES,
        )
    try:
        await _tell(process, request.model_dump_json())
        line = await _line(process)
        end = _end(line)
        if end is None:
            await planned(FetchPlan.model_validate_json(line))
            await _tell(process, "go")
            end = _end(await _line(process))
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    _check(end, request, log)


def open_log(directory: Path) -> Path:
    """The part of a log that is written next: a new one where the last is long, and then one more is kept."""
    directory.mkdir(parents=True, exist_ok=True)
    parts = log_parts(directory)
    begin, last = parts[-1] if parts else (0, directory / LOG)
    size = last.stat().st_size if parts else 0
    if size < LOG_PART_BYTES:
        return last
    for _, old in parts[:-1]:
        old.unlink()
    return directory / f"log.{begin + size}.txt"


async def _tell(process: asyncio.subprocess.Process, line: str) -> None:
    if process.stdin is None:
        raise AssertionError("it was started with a pipe")
    with suppress(BrokenPipeError, ConnectionResetError):  # then it has said why
        process.stdin.write(line.encode() + b"\n")
        await process.stdin.drain()


async def _line(process: asyncio.subprocess.Process) -> bytes:
    if process.stdout is None:
        raise AssertionError("it was started with a pipe")
    return await process.stdout.readline()


def _end(line: bytes) -> FetchEnd | None:
    """None: the line is a plan. A line that never came is an end without reason."""
    if not line:
        return FetchEnd(end="failed")
    try:
        return FetchEnd.model_validate_json(line)
    except ValidationError:
        return None


def _check(end: FetchEnd | None, request: FetchRequest, log: Path) -> None:
    if end is None or (end.end == "failed" and not end.message):
        last = "".join(last_lines(StartLog(log), 1))[-500:]
        raise DownloadFailed(f"{request.coordinates.location()}: the process that fetches it ended: {last}")
    if end.end == "missing":
        raise ModelMissing(end.message)
    if end.end == "failed":
        raise DownloadFailed(end.message)
