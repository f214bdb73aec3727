"""What was counted, kept on disk until it is delivered.

A process has a directory of its own: `state` with a mark for every request in flight and how far the
spool is written, and segments of packed `Metered`. All are mapped into memory: a write is a copy that costs
no call to the system and outlives the process, however it ends. The disk is told to keep it twice a second:
that much a power failure may cost.
"""

import contextlib
import fcntl
import mmap
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelyard_contracts.usage import PACKED

from modelyard_gateway.domain.record import Record
from modelyard_gateway.domain.tokens import Tokens

SEGMENT_BYTES = 16_384 * PACKED.size
MARKS = 16_384
"""More requests than that at a time are not marked."""

POSITION = struct.Struct("<Q")
"""The segment in the upper half, the bytes written of it in the lower one: one store moves both."""
MARK = struct.Struct("<dQQQQB128sB")
"""Start, key, user, route, instance, the id with its length, and at last whether it is in flight."""
FLAG = MARK.size - 1
FIRST_MARK = 64
LONGEST_ID = 128


class Spool:
    """The spool of this process. Raises `OSError` where the disk does not take it."""

    def __init__(self, root: Path, process: str) -> None:
        self.process = process
        self.directory = root / process
        self.directory.mkdir(parents=True, mode=0o700)
        self._lock = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._state = _mapped(self.directory / "state", FIRST_MARK + MARKS * MARK.size)
        self._free = list(range(MARKS - 1, -1, -1))
        self.segment = 0
        self.written = 0
        self._entries = _mapped(self.path(0), SEGMENT_BYTES)

    def path(self, segment: int) -> Path:
        return _segment(self.directory, segment)

    def mark(self, record: Record) -> None:
        """Says that a request is in flight, or again, that it went elsewhere; not if there is no room."""
        if record.mark < 0:
            if not self._free:
                return
            record.mark = self._free.pop()
        ident = record.request_id
        MARK.pack_into(
            self._state,
            FIRST_MARK + record.mark * MARK.size,
            record.started_at,
            record.key_id,
            record.user_id,
            record.route_id or 0,
            record.sent_to or 0,
            len(ident),
            ident,
            1,
        )

    def add(self, number: int, record: Record, tokens: Tokens, basis: int) -> None:
        """Counts a request, whose mark goes. Raises `OSError` if there is no room, and counts nothing."""
        if self.written == SEGMENT_BYTES:
            self._next_segment()
        ident, code, first_token_s = record.request_id, record.code, record.first_token_s
        PACKED.pack_into(
            self._entries,
            self.written,
            number,
            record.started_at,
            record.key_id,
            record.user_id,
            record.route_id or 0,
            record.sent_to or -1,
            *tokens,
            record.ended_s or 0.0,
            -1.0 if first_token_s is None else first_token_s,
            record.status,
            basis,
            len(ident),
            b"" if code is None else code.encode(),
            ident,
        )
        self.written += PACKED.size
        POSITION.pack_into(self._state, 0, self.segment << 32 | self.written)
        if record.mark >= 0:
            self._state[FIRST_MARK + record.mark * MARK.size + FLAG] = 0
            self._free.append(record.mark)

    def _next_segment(self) -> None:
        entries = _mapped(self.path(self.segment + 1), SEGMENT_BYTES)
        self._entries.close()
        self._entries = entries
        self.segment += 1
        self.written = 0

    def sync(self) -> None:
        """Waits for the disk: not for the thread that counts. Raises `OSError`."""
        for path in (self.path(self.segment), self.directory / "state"):
            descriptor = os.open(path, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def read(self, segment: int, start: int, most: int) -> bytes:
        """What is there from `start` on, up to `most` bytes; nothing if there is no more."""
        end = self.written if segment == self.segment else SEGMENT_BYTES
        if start == end:
            return b""
        with self.path(segment).open("rb") as file:
            file.seek(start)
            return file.read(min(most, end - start))

    def forget(self, segment: int) -> None:
        self.path(segment).unlink(missing_ok=True)

    def close(self, *, keep: bool) -> None:
        """`keep`: another process may take it up."""
        self._free = []
        self._entries.close()
        self._state.close()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._lock)


@dataclass(frozen=True, slots=True)
class Mark:
    request_id: bytes
    started_at: float
    key_id: int
    user_id: int
    route_id: int
    asked: int


class Orphan:
    """What a process left that was ended before it had delivered everything."""

    def __init__(self, directory: Path, lock: int) -> None:
        self.process = directory.name
        self.directory = directory
        self._lock = lock

    def entries(self) -> bytes:
        """What it counted and had not delivered for certain."""
        state = (self.directory / "state").read_bytes()
        segment, written = divmod(POSITION.unpack_from(state)[0], 1 << 32)
        found = b""
        for number in range(segment + 1):
            path = _segment(self.directory, number)
            if path.exists():
                found += path.read_bytes()[: written if number == segment else SEGMENT_BYTES]
        return found

    def marks(self) -> Iterator[Mark]:
        """Requests that were in flight."""
        state = (self.directory / "state").read_bytes()
        for at in range(FIRST_MARK, len(state), MARK.size):
            started_at, key, user, route, asked, length, request_id, flag = MARK.unpack_from(state, at)
            if flag:
                yield Mark(request_id[:length], started_at, key, user, route, asked)

    def forget(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._lock)

    def leave(self) -> None:
        """For another time."""
        os.close(self._lock)


def orphans(root: Path) -> Iterator[Orphan]:
    """Spools that no process holds; each is held as long as the caller has it."""
    for directory in sorted(root.iterdir()) if root.is_dir() else ():
        if not (directory / "state").exists():
            continue
        try:
            lock = os.open(directory / "lock", os.O_RDWR)
        except FileNotFoundError:
            continue  # another process has just done with it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            yield Orphan(directory, lock)


def forget_abandoned(parent: Path, prefix: str) -> None:
    """Removes this user's directories of spools that no process holds any more."""
    for root in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if root.is_symlink() or root.stat().st_uid != os.getuid():
                continue
            for orphan in orphans(root):
                orphan.forget()
            root.rmdir()


def _segment(directory: Path, number: int) -> Path:
    return directory / f"{number:08d}"


def _mapped(path: Path, size: int) -> mmap.mmap:
    """The room is taken at once: a full disk must not be met in the middle of a write."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
