"""The last snapshot of what a service folded from the log: some bytes, in parts that come and go together.

It saves reading the log from the start and nothing else: whoever reads one has to check that it is of this
log, and does without where there is none.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError, NotFoundError

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable

PART_BYTES = 512 * 1024
"""Below what a server takes in one message by default (1 MiB)."""
DIGEST = "Modelyard-Digest"
PARTS = "Modelyard-Parts"
FAILURES = (nats.errors.Error, APIError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Snapshots:
    nc: Client
    service: str

    async def write(self, data: bytes) -> None:
        """In place of the one before, as one atomic batch. Raises `LogUnavailable`."""
        parts = [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)] or [b""]
        about = {DIGEST: hashlib.sha256(data).hexdigest(), PARTS: str(len(parts))}
        batch = {"Nats-Batch-Id": secrets.token_hex(16)} if len(parts) > 1 else {}
        try:
            for number, part in enumerate(parts[:-1]):
                sequence = {"Nats-Batch-Sequence": str(number + 1)}
                await self.nc.publish(self._subject(number), part, headers={**about, **batch, **sequence})
            if batch:
                batch |= {"Nats-Batch-Sequence": str(len(parts)), "Nats-Batch-Commit": "1"}
            reply = await self.nc.request(
                self._subject(len(parts) - 1), parts[-1], timeout=10, headers={**about, **batch}
            )
        except FAILURES as error:
            raise LogUnavailable("the snapshot could not be kept") from error
        answer: dict[str, Any] = json.loads(reply.data)
        if "error" in answer:
            raise LogUnavailable(f"the snapshot was refused: {answer['error'].get('description')}")

    async def read(self) -> bytes | None:
        """None if there is none, or it is not whole. Raises `LogUnavailable`."""
        first, about = await self._part(0)
        if not about.get(PARTS, "").isdecimal():
            return None
        data = b"".join([first, *[(await self._part(number))[0] for number in range(1, int(about[PARTS]))]])
        return data if hashlib.sha256(data).hexdigest() == about.get(DIGEST) else None

    async def _part(self, number: int) -> tuple[bytes, dict[str, str]]:
        js = self.nc.jetstream(timeout=5)
        try:
            found = await js.get_last_msg(subjects.SNAPSHOTS, self._subject(number), direct=True)
        except NotFoundError:
            return b"", {}
        except FAILURES as error:
            raise LogUnavailable("the snapshot cannot be read") from error
        return found.data or b"", dict(found.headers or {})

    def _subject(self, number: int) -> str:
        return subjects.snapshot(self.service, number)
