import asyncio

import pytest
from modelyard_worker_agent.handlers.start_queue import StartQueue


class Queue(StartQueue):
    """With what each instance does in it."""

    def __init__(self, at_once: int) -> None:
        super().__init__(at_once)
        self.started: list[int] = []

    async def come(self, instance_id: int, *, had_been_running: bool = False) -> "asyncio.Task[None]":
        async def start() -> None:
            await self.enter(instance_id, had_been_running=had_been_running)
            self.started.append(instance_id)

        task = asyncio.create_task(start())
        await asyncio.sleep(0)
        return task


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_so_many_start_at_a_time_and_the_next_one_when_one_leaves() -> None:
    queue = Queue(2)
    for instance_id in (1, 2, 3, 4):
        await queue.come(instance_id)
    await settled()
    assert (queue.started, queue.starting, queue.waiting) == ([1, 2], 2, (3, 4))

    queue.leave(2)
    queue.leave(2)

    await settled()
    assert (queue.started, queue.waiting) == ([1, 2, 3], (4,))


async def test_those_that_had_been_running_go_first() -> None:
    queue = Queue(1)
    for instance_id in (1, 2, 3):
        await queue.come(instance_id)
    await queue.come(8, had_been_running=True)
    await queue.come(9, had_been_running=True)

    assert queue.waiting == (8, 9, 2, 3)


async def test_what_starts_already_takes_a_place_even_if_there_is_none() -> None:
    queue = Queue(1)
    queue.enter_at_once(1)
    queue.enter_at_once(2)
    await queue.come(3)

    queue.leave(1)
    await settled()
    assert queue.started == []
    queue.leave(2)
    await settled()
    assert queue.started == [3]


@pytest.mark.parametrize("too_late", [False, True])
async def test_who_gives_up_leaves_its_place_to_the_next(too_late: bool) -> None:
    queue = Queue(1)
    await queue.come(1)
    given_up = await queue.come(2)
    await queue.come(3)
    if too_late:  # its turn has come, and it does not know yet
        queue.leave(1)

    given_up.cancel()
    await settled()
    queue.leave(1)

    await settled()
    assert queue.started == [1, 3]
