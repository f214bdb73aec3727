"""What is said in a round of the loop is written at its end, in order, over real sockets."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from modelyard_gateway.adapters.outbox import Outbox


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


async def test_what_is_put_comes_in_its_order_at_the_end_of_the_round(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    rounds: list[asyncio.Handle] = []
    outbox = Outbox(lambda flush: rounds.append(loop.call_soon(flush)))
    outbox.put(transport, b"one ")
    outbox.put(transport, b"two ")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(100)
    await asyncio.sleep(0)
    outbox.put(transport, b"three")
    await asyncio.sleep(0)
    assert (theirs.recv(100), len(rounds)) == (b"one two three", 2)
    transport.close()


async def test_all_is_written_before_a_close_and_nothing_after_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    outbox = Outbox(loop.call_soon)
    outbox.put(transport, b"the end")
    outbox.flush()
    outbox.put(transport, b", and more")
    transport.close()
    await asyncio.sleep(0)
    assert await asyncio.to_thread(theirs.recv, 100) == b"the end"
    assert await asyncio.to_thread(theirs.recv, 100) == b""
