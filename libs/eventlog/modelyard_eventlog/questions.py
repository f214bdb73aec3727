"""Questions to agents, answered from what they see right now."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import nats.errors
from modelyard_contracts.base import Contract
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError

from modelyard_eventlog import subjects
from modelyard_eventlog.wire import decode_answer, encode, encode_answer

Q = TypeVar("Q", bound=Contract)
A = TypeVar("A", bound=Contract)


SCHEDULER = 0
"""In place of a worker's id: whichever scheduler answers first."""


class NoAnswer(Exception):
    """Who was asked is not connected, or did not answer in time."""


class Questions:
    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._answering: set[asyncio.Task[None]] = set()

    async def ask(
        self, worker_id: int, kind: str, question: Contract, answer_type: type[A], *, timeout_s: float = 2.0
    ) -> A:
        """Raises `NoAnswer`."""
        try:
            reply = await self._nc.request(
                subjects.question(worker_id, kind), encode(question), timeout=timeout_s
            )
        except nats.errors.NoRespondersError as error:
            raise NoAnswer(f"{_name(worker_id)} is not connected") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise NoAnswer(f"{_name(worker_id)} did not answer within {timeout_s:g} s") from error
        try:
            return decode_answer(answer_type, reply.data)
        except ValidationError as error:
            raise NoAnswer(
                f"{_name(worker_id)} could not answer: {reply.data[:200].decode(errors='replace')}"
            ) from error

    async def answer(
        self, worker_id: int, kind: str, question_type: type[Q], handler: Callable[[Q], Awaitable[Contract]]
    ) -> None:
        """Answers such questions from now on, for as long as the connection lives."""

        async def respond(message: Msg) -> None:
            # a task of its own: a question that waits must not hold up the next one
            task = asyncio.create_task(reply_to(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

        async def reply_to(message: Msg) -> None:
            try:
                question = question_type.model_validate_json(message.data)
            except ValidationError as error:
                await message.respond(str(error).encode())
                return
            await message.respond(encode_answer(await handler(question)))

        await self._nc.subscribe(subjects.question(worker_id, kind), cb=respond)


def _name(asked: int) -> str:
    return "the scheduler" if asked == SCHEDULER else f"worker {asked}"
