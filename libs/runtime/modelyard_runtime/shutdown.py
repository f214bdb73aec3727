"""Ends a process in an orderly way on SIGTERM or SIGINT."""

import asyncio
import signal


def stop_signal() -> asyncio.Event:
    """An event that is set when the process is asked to end. Call it inside the running loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
