"""Ends a process in an orderly way on SIGTERM or SIGINT."""

import asyncio
import signal
from typing import Any


def stop_signal() -> asyncio.Event:
    """An event that is set when the process is asked to end. Call it inside the running loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def ends_before(stop: asyncio.Event, task: "asyncio.Task[Any]") -> bool:
    """True when the task has ended, False if the process was asked to stop before; then it is cancelled."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if task.done():
        return True
    task.cancel()
    return False
