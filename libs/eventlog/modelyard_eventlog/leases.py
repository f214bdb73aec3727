"""Which one of several processes is at work, and how far it has come: a message that only its holder renews.

It saves conflicts and nothing else: what must not be done twice is guarded by the log's own sequences. A
process that was paused and does not know yet that another took over does no harm.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import nats.errors
from modelyard_contracts.base import Contract
from nats.aio.client import Client
from nats.js.errors import APIError, NotFoundError

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.nats_log import WRONG_LAST_SEQUENCE
from modelyard_eventlog.wire import encode

LOOK_S = 0.25
FAILURES = (nats.errors.Error, APIError, TimeoutError, OSError)


class LeaseLost(Exception):
    """Another process took over."""


class Holding(Contract):
    holder: str
    position: int
    released: bool = False


@dataclass(slots=True)
class Lease:
    """`silent_s`: for how long a holder may say nothing before another takes over."""

    nc: Client
    service: str
    holder: str
    silent_s: float = 3.0
    position: int = 0
    """How far its holder has come; kept with the next renewal."""
    _seq: int = 0

    async def take(self) -> None:
        """Waits until nobody else holds it; then `position` is what the last holder kept.

        Raises `LogUnavailable`.
        """
        loop = asyncio.get_running_loop()
        seen, since = -1, loop.time()
        while True:
            held, seq = await self._read()
            if seq != seen:
                seen, since = seq, loop.time()
            free = held is None or held.released or held.holder == self.holder
            if free or loop.time() - since >= self.silent_s:
                self._seq, self.position = seq, held.position if held else 0
                try:
                    return await self.keep()
                except LeaseLost:
                    continue
            await asyncio.sleep(LOOK_S)

    async def keep(self) -> None:
        """Renews it: call this well within `silent_s`, one call at a time. Raises `LeaseLost`,
        `LogUnavailable`."""
        await self._write(Holding(holder=self.holder, position=self.position))

    async def release(self) -> None:
        """Lets the next one in at once. Raises `LeaseLost`, `LogUnavailable`."""
        await self._write(Holding(holder=self.holder, position=self.position, released=True))

    async def _write(self, holding: Holding) -> None:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(self._seq)}
        try:
            reply = await self.nc.request(
                subjects.lease(self.service), encode(holding), timeout=2, headers=headers
            )
        except FAILURES as error:
            # it may have been kept all the same
            await self._adopt()
            raise LogUnavailable("the lease could not be renewed") from error
        answer: dict[str, Any] = json.loads(reply.data)
        if "error" not in answer:
            self._seq = answer["seq"]
            return
        if answer["error"].get("err_code") not in WRONG_LAST_SEQUENCE:
            raise LogUnavailable(f"the lease could not be renewed: {answer['error'].get('description')}")
        raise LeaseLost(f"another {self.service} took over")

    async def _adopt(self) -> None:
        held, seq = await self._read()
        if held is not None and held.holder == self.holder:
            self._seq = seq

    async def _read(self) -> tuple[Holding | None, int]:
        js = self.nc.jetstream(timeout=2)
        try:
            message = await js.get_last_msg(subjects.LEASES, subjects.lease(self.service), direct=True)
        except NotFoundError:
            return None, 0
        except FAILURES as error:
            raise LogUnavailable("the lease cannot be read") from error
        return Holding.model_validate_json(message.data or b""), message.seq or 0
