"""What each worker should run: derived from the log, the latest per instance."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import nats.errors
from modelyard_contracts.messages import Want
from nats.aio.client import Client
from nats.js.errors import APIError

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.reader import PullReader, place_of
from modelyard_eventlog.wire import encode

READ_ALL_S = 30.0


class DesiredState:
    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=5)

    async def put(self, want: Want) -> None:
        """Raises `LogUnavailable`."""
        try:
            await self._js.publish(
                subjects.want(want.worker_id, want.instance_id), encode(want), stream=subjects.DESIRED
            )
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise LogUnavailable("a want could not be kept") from error

    async def forget(self, worker_id: int, instance_id: int) -> None:
        """Once nothing of the instance is left on the worker. Raises `LogUnavailable`."""
        try:
            await self._js.purge_stream(subjects.DESIRED, subject=subjects.want(worker_id, instance_id))
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise LogUnavailable("a want could not be forgotten") from error

    async def read_all(self) -> dict[tuple[int, int], Want]:
        """Every want there is, by worker and instance. Raises `LogUnavailable`."""
        found: dict[tuple[int, int], Want] = {}
        try:
            async with asyncio.timeout(READ_ALL_S):
                info = await self._js.stream_info(subjects.DESIRED)
                if info.state.messages:
                    await self._read_into(found)
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise LogUnavailable("wants cannot be read") from error
        return found

    async def _read_into(self, found: dict[tuple[int, int], Want]) -> None:
        async with aclosing(PullReader(self._nc, subjects.DESIRED).batches(500)) as batches:
            async for messages in batches:
                for _, message in messages:
                    want = Want.model_validate_json(message.data)
                    found[want.worker_id, want.instance_id] = want
                if place_of(messages[-1][1].reply).pending == 0:
                    return

    async def follow(self, worker_id: int) -> AsyncIterator[Want]:
        """The latest want of each instance, then every new one; from the start again after a reconnect."""
        reader = PullReader(
            self._nc, subjects.DESIRED, subject=subjects.wants_of(worker_id), last_per_subject=True
        )
        async for messages in reader.batches(500):
            for _, message in messages:
                if message.data:
                    yield Want.model_validate_json(message.data)
