"""One of several holds the lease, on a real server."""

import asyncio

import pytest
from modelyard_eventlog.leases import Lease, LeaseLost
from modelyard_eventlog.provision import provision
from nats.aio.client import Client

SILENT_S = 0.4


def lease(nc: Client, holder: str) -> Lease:
    return Lease(nc, "scheduler", holder, silent_s=SILENT_S)


@pytest.fixture
async def server(own_nats: Client) -> Client:
    await provision(own_nats)
    return own_nats


async def waiting(of: Lease) -> "asyncio.Task[None]":
    task = asyncio.create_task(of.take())
    await asyncio.sleep(0)
    return task


async def test_it_is_taken_by_one_and_kept_as_long_as_it_is_renewed(server: Client) -> None:
    first, second = lease(server, "a"), lease(server, "b")
    await first.take()
    standing_by = await waiting(second)
    for position in range(10):
        first.position = position
        await first.keep()
        await asyncio.sleep(SILENT_S / 4)
    assert not standing_by.done()
    await first.release()
    await standing_by
    assert second.position == 9


async def test_the_next_one_goes_on_where_a_silent_holder_came_to(server: Client) -> None:
    first, second = lease(server, "a"), lease(server, "b")
    await first.take()
    first.position = 7
    await first.keep()
    await asyncio.wait_for(second.take(), 20)
    assert second.position == 7
    with pytest.raises(LeaseLost):
        await first.keep()
    await second.keep()


async def test_of_two_that_take_it_at_once_one_waits(server: Client) -> None:
    tasks = [asyncio.create_task(lease(server, name).take()) for name in "ab"]
    done, waits = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(waits)) == (1, 1)
    for task in waits:
        task.cancel()


async def test_who_holds_it_already_need_not_wait(server: Client) -> None:
    await lease(server, "a").take()
    again = lease(server, "a")
    again.silent_s = 600
    await asyncio.wait_for(again.take(), 20)
    await again.keep()
