"""What gateways counted, on its way to the api: many packed `Metered` in a message."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.provision import ask_jetstream
from modelyard_eventlog.reader import PullReader
from modelyard_eventlog.wire import MSG_ID


@dataclass(frozen=True, slots=True)
class Counted:
    """One message: what one gateway process counted. `seq` is its place in the stream."""

    seq: int
    process: str
    entries: bytes


class UsageStream:
    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=5)

    async def publish(self, process: str, first: int, last: int, entries: bytes) -> None:
        """Returns once it is on disk. `first` and `last` are their numbers. Raises `LogUnavailable`."""
        try:
            await self._js.publish(
                subjects.usage(process),
                entries,
                stream=subjects.USAGE,
                headers={MSG_ID: f"{process}/{first}-{last}"},
            )
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise LogUnavailable("usage could not be delivered") from error

    async def created(self) -> datetime:
        """When the stream was made, which tells it from any other. Raises `LogUnavailable`."""
        info = await ask_jetstream(self._nc, f"$JS.API.STREAM.INFO.{subjects.USAGE}")
        if "error" in info:
            raise LogUnavailable("the stream of usage is not there yet")
        return datetime.fromisoformat(info["created"][:26].rstrip("Z")).replace(tzinfo=UTC)

    async def follow(self, after: int) -> AsyncIterator[list[Counted]]:
        """Everything beyond `after`, in order, without end."""
        reader = PullReader(self._nc, subjects.USAGE, subject=subjects.ALL_USAGE, after=after)
        async for messages in reader.batches(100):
            yield [
                Counted(seq, message.subject.rpartition(".")[2], message.data) for seq, message in messages
            ]
