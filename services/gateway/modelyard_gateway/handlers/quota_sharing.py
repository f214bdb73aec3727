"""Gateways tell each other once a second what they have let in."""

import asyncio

from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.quotas import QuotaStream

from modelyard_gateway.handlers.quotas import Quotas

TELL_S = 1.0


async def share(quotas: Quotas, stream: QuotaStream) -> None:
    """Without end. While NATS is away, each gateway knows what it counts itself."""
    await asyncio.gather(_tell(quotas, stream), _hear(quotas, stream))


async def _tell(quotas: Quotas, stream: QuotaStream) -> None:
    while True:
        await asyncio.sleep(TELL_S)
        for counts in quotas.counts():
            try:
                await stream.tell(counts)
            except LogUnavailable:
                break


async def _hear(quotas: Quotas, stream: QuotaStream) -> None:
    async for counts in stream.follow():
        quotas.hear(counts)
