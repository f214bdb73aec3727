"""The logs of model servers, as ranges of files. They stay after an instance is gone."""

import asyncio
from pathlib import Path
from typing import BinaryIO

from modelyard_contracts.messages import LogAnswer, LogQuestion

LOG = "log.txt"
CHUNK_BYTES = 128 * 1024
"""Of one answer. As JSON it may grow sixfold, and must stay below NATS's 1 MiB."""
TAIL_BLOCK = 64 * 1024
LAST_LINES = 100
LAST_CHARACTERS = 32 * 1024
"""Of the last lines in a fact. As JSON they may grow sixfold, and the log keeps events up to 256 KiB."""
LOOK_S = 0.1


def attempts(instance: Path) -> list[int]:
    """The attempts that still have a directory, oldest first."""
    return sorted(int(path.name) for path in instance.glob("*") if path.name.isdecimal())


def last_lines(log: Path, count: int = LAST_LINES) -> tuple[str, ...]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - CHUNK_BYTES))
            text = file.read(CHUNK_BYTES)
    except OSError:
        return ()
    lines = [line[:1000] for line in text.decode(errors="replace").splitlines()[-count:]]
    while sum(len(line) for line in lines) > LAST_CHARACTERS:
        del lines[0]
    return tuple(lines)


def _tail_start(file: BinaryIO, size: int, count: int) -> int:
    """Where the last `count` lines begin."""
    position, seen = size, 0
    while position > 0:
        block = min(TAIL_BLOCK, position)
        position -= block
        file.seek(position)
        data = file.read(block)
        end = len(data)
        if position + block == size and data.endswith(b"\n"):
            end -= 1
        while (found := data.rfind(b"\n", 0, end)) >= 0:
            seen += 1
            if seen == count:
                return position + found + 1
            end = found
    return 0


class LogFiles:
    def __init__(self, instances: Path) -> None:
        self._instances = instances

    async def answer(self, question: LogQuestion) -> LogAnswer:
        instance = self._instances / str(question.instance_id)
        known = attempts(instance)
        if not known:
            return LogAnswer(found=False, message="this instance has not been started here")
        attempt = known[-1] if question.attempt is None else question.attempt
        log = instance / str(attempt) / LOG
        if not log.exists():
            return LogAnswer(found=False, message=f"the log of start {attempt} is not kept any more")
        offset = question.offset if question.offset is not None else self._start(log, question.tail)
        await self._wait(log, offset, question.wait_s)
        return self._range(instance, attempt, log, offset)

    @staticmethod
    def _start(log: Path, tail: int) -> int:
        if tail < 0:
            return 0
        size = log.stat().st_size
        if tail == 0:
            return size
        with log.open("rb") as file:
            return _tail_start(file, size, tail)

    async def _wait(self, log: Path, offset: int, wait_s: float) -> None:
        for _ in range(int(min(wait_s, 30.0) / LOOK_S)):
            if log.stat().st_size > offset or self._ended(log):
                return
            await asyncio.sleep(LOOK_S)

    @staticmethod
    def _ended(log: Path) -> bool:
        """`failed` is there too where the shim was killed and could leave no status."""
        return (log.parent / "exit.json").exists() or (log.parent / "failed").exists()

    def _range(self, instance: Path, attempt: int, log: Path, offset: int) -> LogAnswer:
        ended = self._ended(log)
        with log.open("rb") as file:
            file.seek(offset)
            data = file.read(CHUNK_BYTES)
        size = log.stat().st_size
        data = _whole_characters(data) if offset + len(data) < size else data
        more = offset + len(data) < size
        return LogAnswer(
            found=True,
            text=data.decode(errors="replace"),
            attempt=attempt,
            next_offset=offset + len(data),
            more=more,
            ended=ended and not more,
        )


def _whole_characters(data: bytes) -> bytes:
    """Cuts a range after its last whole line, so that no character is split."""
    end = data.rfind(b"\n")
    return data[: end + 1] if end >= 0 else data
