"""What each worker should run and keep: derived from the log, the latest per instance and per model file."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TypeVar

import nats.errors
from modelyard_contracts.base import Contract
from modelyard_contracts.messages import FileWant, Want
from nats.aio.client import Client
from nats.js.errors import APIError, NotFoundError

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.reader import PullReader, place_of
from modelyard_eventlog.wire import encode

READ_ALL_S = 30.0

W = TypeVar("W", Want, FileWant)


class DesiredState:
    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=5)

    async def put(self, want: Want) -> None:
        """Raises `LogUnavailable`."""
        await self._put(subjects.want(want.worker_id, want.instance_id), want)

    async def put_file(self, want: FileWant) -> None:
        """Raises `LogUnavailable`."""
        await self._put(subjects.file_want(want.worker_id, want.file_id), want)

    async def forget(self, worker_id: int, instance_id: int) -> None:
        """Once nothing of the instance is left on the worker. Raises `LogUnavailable`."""
        await self._forget(subjects.want(worker_id, instance_id))

    async def forget_file(self, worker_id: int, file_id: int) -> None:
        """Once the worker has said what came of it. Raises `LogUnavailable`."""
        await self._forget(subjects.file_want(worker_id, file_id))

    async def read_all(self) -> dict[tuple[int, int], Want]:
        """Every want there is, by worker and instance. Raises `LogUnavailable`."""
        wants = await self._read(subjects.ALL_WANTS, Want)
        return {(want.worker_id, want.instance_id): want for want in wants}

    async def read_files(self) -> dict[tuple[int, int], FileWant]:
        """The same of model files, by worker and file. Raises `LogUnavailable`."""
        wants = await self._read(subjects.ALL_FILE_WANTS, FileWant)
        return {(want.worker_id, want.file_id): want for want in wants}

    async def follow(self, worker_id: int) -> AsyncIterator[Want]:
        """The latest want of each instance, then every new one; from the start again after a reconnect."""
        async for want in self._follow(subjects.wants_of(worker_id), Want):
            yield want

    async def follow_files(self, worker_id: int) -> AsyncIterator[FileWant]:
        """The same of model files."""
        async for want in self._follow(subjects.file_wants_of(worker_id), FileWant):
            yield want

    async def _put(self, subject: str, want: Contract) -> None:
        try:
            await self._js.publish(subject, encode(want), stream=subjects.DESIRED)
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise LogUnavailable("a want could not be kept") from error

    async def _forget(self, subject: str) -> None:
        try:
            await self._js.purge_stream(subjects.DESIRED, subject=subject)
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise LogUnavailable("a want could not be forgotten") from error

    async def _read(self, subject: str, kind: type[W]) -> list[W]:
        found: list[W] = []
        try:
            async with asyncio.timeout(READ_ALL_S):
                await self._js.get_last_msg(subjects.DESIRED, subject)  # a reader of nothing would wait
                await self._read_into(found, subject, kind)
        except NotFoundError:
            return []
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise LogUnavailable("wants cannot be read") from error
        return found

    async def _read_into(self, found: list[W], subject: str, kind: type[W]) -> None:
        async with aclosing(PullReader(self._nc, subjects.DESIRED, subject=subject).batches(500)) as batches:
            async for messages in batches:
                found += [kind.model_validate_json(message.data) for _, message in messages]
                if place_of(messages[-1][1].reply).pending == 0:
                    return

    async def _follow(self, subject: str, kind: type[W]) -> AsyncIterator[W]:
        reader = PullReader(self._nc, subjects.DESIRED, subject=subject, last_per_subject=True)
        async for messages in reader.batches(500):
            for _, message in messages:
                if message.data:
                    yield kind.model_validate_json(message.data)
