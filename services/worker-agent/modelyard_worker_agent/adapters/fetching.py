"""Runs the process that fetches a model."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from modelyard_worker_agent.domain.fetching import FetchEnd, FetchPlan, FetchRequest
from modelyard_worker_agent.ports import DownloadFailed, ModelMissing

LONGEST_LINE_BYTES = 64 << 20
QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}


async def fetch(
    request: FetchRequest, log: Path, env: dict[str, str], planned: Callable[[FetchPlan], Awaitable[None]]
) -> None:
    """Returns once every file is there with the right checksum. `planned` may raise, which ends it.

    The process ends with this call, in whatever way. Raises `ModelMissing`, `DownloadFailed`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as said:
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
        last = log.read_text(errors="replace").strip().rpartition("\n")[2][-500:]
        raise DownloadFailed(f"{request.coordinates.location()}: the process that fetches it ended: {last}")
    if end.end == "missing":
        raise ModelMissing(end.message)
    if end.end == "failed":
        raise DownloadFailed(end.message)
