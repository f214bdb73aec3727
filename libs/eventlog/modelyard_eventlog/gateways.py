"""Gateways ask each other what became of a request, which only the process that served it remembers."""

from collections.abc import Callable

import nats.errors
from modelyard_contracts.quotas import RequestAsked
from nats.aio.client import Client
from nats.aio.msg import Msg

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.wire import encode

ANSWER_S = 0.5


class Gateways:
    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def ask(self, asked: RequestAsked) -> bytes | None:
        """The first answer; None if there is none in time. Raises `LogUnavailable` while disconnected."""
        try:
            return (await self._nc.request(subjects.GATEWAYS, encode(asked), timeout=ANSWER_S)).data
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
            return None
        except (nats.errors.Error, OSError) as error:
            raise LogUnavailable("not connected") from error

    async def answer(self, find: Callable[[RequestAsked], bytes | None]) -> None:
        """Answers what `find` knows, for as long as the connection lives."""

        async def respond(message: Msg) -> None:
            found = find(RequestAsked.model_validate_json(message.data))
            if found is not None:
                await message.respond(found)

        await self._nc.subscribe(subjects.GATEWAYS, cb=respond)
