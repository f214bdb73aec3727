"""Child processes: started apart from the terminal, watched, started again, and ended in order."""

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
HEALTHY_AFTER_S = 60.0
"""A child that ran so long starts over with the shortest back-off."""

BAD_SETTINGS = 2
"""How Modelyard's own programs exit when starting again cannot help."""


@dataclass(frozen=True, slots=True)
class Program:
    """One child: what to run, and how it likes to be ended. `user` is for Postgres under root."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10.0


@dataclass
class Child:
    """A running program. `tell` is called with sentences for the person who watches."""

    program: Program
    tell: Callable[[str], None]
    on_change: Callable[[], None]
    """Called whenever there is another process behind it."""
    process: asyncio.subprocess.Process | None = None
    failure: str | None = None
    """Why it was given up."""
    ends: int = 0
    """How many times it has ended by itself."""
    settled: bool = False
    """Set once it has been healthy: from then on it is never given up."""
    _watching: asyncio.Task[None] | None = field(default=None, repr=False)

    async def start(self) -> None:
        process = await self._spawn()
        self._watching = asyncio.create_task(self._watch(process))

    async def stop(self) -> None:
        """Asks it to end, and makes it after `stop_timeout_s`. Once it is gone nothing starts it again."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(self.program.stop_signal)
            try:
                async with asyncio.timeout(self.program.stop_timeout_s):
                    await self.process.wait()
            except TimeoutError:
                self.tell(f"{self.program.name} did not end in {self.program.stop_timeout_s:g} s: killed")
                with suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()
        self.process = None
        self.on_change()

    def last_words(self) -> str:
        """The last line of its log."""
        try:
            with self.program.log.open("rb") as log:
                log.seek(0, 2)
                log.seek(max(0, log.tell() - 4096))
                lines = log.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.program.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self.program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.program.env,
                cwd=self.program.cwd,
                user=self.program.user,
                group=self.program.user,
                extra_groups=[] if self.program.user else None,
                umask=0o077,
                # a session of its own: Ctrl-C reaches `up` alone, which ends its children in order
                start_new_session=True,
            )
        self.process = process
        self.on_change()
        return process

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            started = time.monotonic()
            code = await process.wait()
            self.ends += 1
            if code == BAD_SETTINGS and not self.settled:
                self.failure = self.last_words() or f"{self.program.name} exited with code {code}"
                self.tell(f"{self.program.name} cannot run: {self.failure}")
                return
            if time.monotonic() - started >= HEALTHY_AFTER_S:
                backoff_s = FIRST_BACKOFF_S
            self.tell(f"{self.program.name} {how_it_ended(code)}; started again in {backoff_s:g} s")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
            process = await self._spawn()


def how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
