"""What gateways tell each other of limits: the latest of each process, which newcomers hear as well."""

from collections.abc import AsyncIterator

import nats.errors
import structlog
from modelyard_contracts.quotas import QuotaCounts
from nats.aio.client import Client

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.reader import PullReader
from modelyard_eventlog.wire import encode

logger = structlog.stdlib.get_logger()


class QuotaStream:
    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def tell(self, counts: QuotaCounts) -> None:
        """Not acknowledged: the next one comes soon. Raises `LogUnavailable` while disconnected."""
        try:
            await self._nc.publish(subjects.quota(counts.process, counts.part), encode(counts))
        except (nats.errors.Error, OSError) as error:
            raise LogUnavailable("not connected") from error

    async def follow(self) -> AsyncIterator[QuotaCounts]:
        """The latest of each process, then every new one, without end."""
        reader = PullReader(self._nc, subjects.QUOTAS, subject=subjects.ALL_QUOTAS, last_per_subject=True)
        async for messages in reader.batches(100):
            for _, message in messages:
                try:
                    yield QuotaCounts.model_validate_json(message.data)
                except ValueError as error:
                    logger.error("no counts of limits", subject=message.subject, error=str(error))
