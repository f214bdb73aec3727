"""The logs of model servers and of downloads, as ranges. They stay after an instance is gone."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from modelyard_contracts.messages import DownloadLogQuestion, LogAnswer, LogQuestion, RangeQuestion

from modelyard_worker_agent.launchers.shim import log_parts

LOG = "log.txt"
CHUNK_BYTES = 128 * 1024
"""Of one answer: larger ones are followed more slowly."""
TAIL_BLOCK = 64 * 1024
LAST_LINES = 100
LAST_BYTES = 128 * 1024
LAST_CHARACTERS = 32 * 1024
"""Of the last lines in a fact. As JSON they may grow sixfold, and the log keeps events up to 256 KiB."""
LOOK_S = 0.1


def attempts(instance: Path) -> list[int]:
    """The attempts that still have a directory, oldest first."""
    return sorted(int(path.name) for path in instance.glob("*") if path.name.isdecimal())


class StartLog:
    """The log of one start: the parts of it that are kept (see `launchers.shim`), read as one file.

    Places are counted from the first byte that was ever said. `begin` is that of the first that is kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def exists(self) -> bool:
        return bool(self._parts())

    @property
    def begin(self) -> int:
        parts = self._parts()
        return parts[0][0] if parts else 0

    @property
    def size(self) -> int:
        """Where the next byte will be."""
        for begin, path in reversed(self._parts()):
            with suppress(FileNotFoundError):
                return begin + path.stat().st_size
        return 0

    @property
    def kept_bytes(self) -> int:
        return max(self.size - self.begin, 0)

    def read(self, place: int, count: int) -> tuple[int, bytes]:
        """Up to `count` bytes from `place`, or from the first that is kept beyond it, and their place."""
        while True:
            parts = self._parts()
            place = max(place, parts[0][0]) if parts else place
            try:
                return place, _read(parts, place, count)
            except FileNotFoundError:
                continue  # the oldest part went; the next look does not find it

    def _parts(self) -> list[tuple[int, Path]]:
        try:
            return log_parts(self._directory)
        except FileNotFoundError:
            return []


def _read(parts: Sequence[tuple[int, Path]], place: int, count: int) -> bytes:
    data = b""
    for begin, path in parts:
        here = place + len(data)
        if len(data) < count and begin <= here < begin + path.stat().st_size:
            with path.open("rb") as file:
                file.seek(here - begin)
                data += file.read(count - len(data))
    return data


def last_lines(log: StartLog, count: int = LAST_LINES) -> tuple[str, ...]:
    _, text = log.read(max(0, log.size - LAST_BYTES), LAST_BYTES)
    lines = [line[:1000] for line in text.decode(errors="replace").splitlines()[-count:]]
    while sum(len(line) for line in lines) > LAST_CHARACTERS:
        del lines[0]
    return tuple(lines)


def _tail_start(log: StartLog, count: int) -> int:
    """Where the last `count` lines begin."""
    size, first = log.size, log.begin
    position, seen = size, 0
    while position > first:
        block = min(TAIL_BLOCK, position - first)
        position -= block
        _, data = log.read(position, block)
        end = len(data)
        if position + block == size and data.endswith(b"\n"):
            end -= 1
        while (found := data.rfind(b"\n", 0, end)) >= 0:
            seen += 1
            if seen == count:
                return position + found + 1
            end = found
    return first


class LogFiles:
    def __init__(self, instances: Path) -> None:
        self._instances = instances

    async def answer(self, question: LogQuestion) -> LogAnswer:
        instance = self._instances / str(question.instance_id)
        known = attempts(instance)
        if not known:
            return LogAnswer(found=False, message="this instance has not been started here")
        attempt = known[-1] if question.attempt is None else question.attempt
        directory = instance / str(attempt)
        if not StartLog(directory).exists():
            return LogAnswer(found=False, message=f"the log of start {attempt} is not kept any more")
        answer = await range_of(directory, question, lambda: _has_ended(directory))
        return answer.model_copy(update={"attempt": attempt})


class DownloadLogs:
    """What was said while models were fetched. `is_coming` tells whether one is being fetched right now."""

    def __init__(self, directory_of: Callable[[str], Path], is_coming: Callable[[str], bool]) -> None:
        self._directory_of = directory_of
        self._is_coming = is_coming

    async def answer(self, question: DownloadLogQuestion) -> LogAnswer:
        directory = self._directory_of(question.model_id)
        if not StartLog(directory).exists():
            return LogAnswer(found=False, message="it has not been fetched here")
        return await range_of(directory, question, lambda: not self._is_coming(question.model_id))


async def range_of(directory: Path, asked: RangeQuestion, has_ended: Callable[[], bool]) -> LogAnswer:
    """Of the log whose parts are there."""
    log = StartLog(directory)
    offset = asked.offset if asked.offset is not None else _start(log, asked.tail)
    for _ in range(int(min(asked.wait_s, 30.0) / LOOK_S)):
        if log.size > offset or has_ended():
            break
        await asyncio.sleep(LOOK_S)
    ended = has_ended()
    place, data = log.read(offset, CHUNK_BYTES)
    size = log.size
    data = _whole_characters(data) if place + len(data) < size else data
    more = place + len(data) < size
    return LogAnswer(
        found=True,
        said=data,
        next_offset=place + len(data),
        more=more,
        ended=ended and not more,
    )


def _has_ended(directory: Path) -> bool:
    """`failed` is there too where the shim was killed and could leave no status."""
    return (directory / "exit.json").exists() or (directory / "failed").exists()


def _start(log: StartLog, tail: int) -> int:
    if tail < 0:
        return log.begin
    return log.size if tail == 0 else _tail_start(log, tail)


def _whole_characters(data: bytes) -> bytes:
    """Cuts a range after its last whole line, so that no character is split."""
    end = data.rfind(b"\n")
    return data[: end + 1] if end >= 0 else data
