"""Several processes that share one port, each for itself."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import structlog

logger = structlog.stdlib.get_logger()

ENDING = (signal.SIGTERM, signal.SIGINT)
PAUSE_S = 1.0
"""Before a process that ended by itself is replaced."""


def run_processes(count: int, work: Callable[[], None]) -> None:
    """Forks, before there is a loop or a thread; replaces what ends; returns when all have ended after
    SIGTERM or SIGINT, which they get, too. They end as if they had got SIGTERM once this process is gone."""
    parent = os.pipe()
    running: set[int] = set()
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for pid in running:
            os.kill(pid, signal.SIGTERM)

    def start() -> None:
        pid = _forked(work, *parent)
        running.add(pid)
        if stopping:
            os.kill(pid, signal.SIGTERM)

    for number in ENDING:
        signal.signal(number, stop)
    while len(running) < count and not stopping:
        start()
    while running:
        pid, status = os.wait()
        running.discard(pid)
        if not stopping:
            logger.error("a gateway process ended and is replaced", pid=pid, status=status)
            time.sleep(PAUSE_S)
        if not stopping:
            start()


def _forked(work: Callable[[], None], until_end: int, own_end: int) -> int:
    """Nobody but the parent has `own_end` open. No signal reaches the child before it has let go of its
    parent's handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        return pid
    failed = 1
    try:
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)
        os.close(own_end)
        threading.Thread(target=_end_with, args=(until_end,), daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        work()
        failed = 0
    finally:
        os._exit(failed)


def _end_with(parent: int) -> None:
    os.read(parent, 1)
    os.kill(os.getpid(), signal.SIGTERM)
