"""Tells what became of a request: from the memory of this process, or of the one that served it."""

import json

from modelyard_contracts.quotas import RequestAsked
from modelyard_eventlog.gateways import Gateways
from modelyard_eventlog.log import LogUnavailable

from modelyard_gateway.domain import refusals
from modelyard_gateway.handlers.ledger import Ledger


class Lookup:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.others: Gateways | None = None
        """None as long as NATS was never reached."""

    def own(self, asked: RequestAsked) -> bytes | None:
        """The record as JSON, if this process served the request."""
        record = self._ledger.find(asked.request_id.encode())
        if record is None or (asked.user_id is not None and record.user_id != asked.user_id):
            return None
        return json.dumps(record.view()).encode()

    async def elsewhere(self, asked: RequestAsked) -> bytes:
        """Raises `Refusal` (404, 503)."""
        if self.others is None:
            raise refusals.others_unknown(asked.request_id)
        try:
            found = await self.others.ask(asked)
        except LogUnavailable as error:
            raise refusals.others_unknown(asked.request_id) from error
        if found is None:
            raise refusals.request_not_found(asked.request_id)
        return found
