"""The moment at which a process ends, without asking again and again whether it has."""

import asyncio
import os

LOOK_S = 0.05


async def exit_of(pid: int) -> None:
    """Returns once it has ended; at once if it is not there. Where the system cannot tell, after a short
    while: look, and ask again."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (OSError, AttributeError):
        await asyncio.sleep(LOOK_S)
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(watched, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)
