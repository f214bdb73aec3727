"""The whole system on one machine: started part by part, kept alive, ended in order."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field

from modelyard_cli.embedded import nats, postgres, services
from modelyard_cli.embedded.health import Check, http_answers, nats_answers, postgres_answers, until
from modelyard_cli.embedded.leftovers import end_leftovers, end_stray_postgres, record
from modelyard_cli.embedded.options import UpOptions
from modelyard_cli.embedded.processes import Child, Program
from modelyard_cli.embedded.requirements import check_ports, free_port
from modelyard_cli.embedded.secrets import Secrets, secrets_of
from modelyard_cli.embedded.state import StateDir
from modelyard_cli.errors import UsageError

STOP_ORDER = ("gateway", "worker", "scheduler", "api", "postgres", "nats")
"""Who takes requests first, who keeps facts last."""

START_TIMEOUT_S = 90.0
MOST_ENDS_WHILE_STARTING = 3

Tell = Callable[[str], None]


@dataclass
class Stack:
    """Holds the children of one `up`. `tell` says one line to the person who watches."""

    options: UpOptions
    state: StateDir
    tell: Tell
    children: dict[str, Child] = field(default_factory=dict)

    async def start(self) -> None:
        """Returns when everything but the worker answers. Raises `UsageError`; `stop` is needed then too."""
        secrets = self._clear_the_way()
        options, state = self.options, self.state
        nats_program = nats.program(state, secrets, host="127.0.0.1", port=options.nats_port)
        fresh = not (state.postgres / "data").exists()
        if fresh:
            self.tell("postgres   making a new database ...")
        postgres_program = await asyncio.to_thread(postgres.prepare, state)
        await asyncio.to_thread(end_stray_postgres, state.postgres / "data")
        await self._together(
            self._run(nats_program, nats_answers("127.0.0.1", options.nats_port), options.nats_url),
            self._run(postgres_program, postgres_answers(postgres.url(state)), str(state.postgres)),
        )
        health_port = free_port()
        await self._together(
            self._run(
                services.api(state, secrets, options),
                http_answers(f"{options.api_url}/readyz"),
                options.api_url,
            ),
            self._run(
                services.gateway(state, secrets, options),
                http_answers(f"{options.gateway_url}/healthz"),
                options.gateway_url,
            ),
            self._run(
                services.scheduler(state, secrets, options, health_port),
                http_answers(f"http://127.0.0.1:{health_port}/healthz"),
                "decides where instances run",
            ),
        )

    async def start_worker(self, ready: Check | None) -> None:
        """Raises `UsageError`."""
        program = services.worker(self.state, secrets_of(self.state), self.options)
        await self._run(program, ready, "runs models on this machine")

    async def stop(self) -> None:
        for name in STOP_ORDER:
            child = self.children.pop(name, None)
            if child is not None:
                await child.stop()
        self.state.run_record.unlink(missing_ok=True)

    def _clear_the_way(self) -> Secrets:
        secrets = secrets_of(self.state)
        # killed, the agent leaves its model servers running, and the next one adopts them
        signals = {"postgres": postgres.STOP_SIGNAL, "worker": signal.SIGKILL}
        ended = end_leftovers(self.state, STOP_ORDER, signals)
        if ended:
            self.tell(f"ended what an earlier run had left: {', '.join(ended)}")
        check_ports(self.options)
        return secrets

    @staticmethod
    async def _together(*parts: Coroutine[None, None, None]) -> None:
        """The first failure ends the others' starts and is raised alone."""
        try:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(part)
        except* UsageError as failures:
            raise next(_leaves(failures)) from None

    async def _run(self, program: Program, check: Check | None, where: str) -> None:
        started = time.monotonic()
        rotate(program)
        child = Child(program, self.tell, self._record)
        self.children[program.name] = child
        await child.start()
        if check is not None:
            await self._wait(child, check)
        child.settled = True
        self.tell(f"{program.name:<10} {where}  ({time.monotonic() - started:.1f} s)")

    async def _wait(self, child: Child, check: Check) -> None:
        healthy = asyncio.create_task(until(check))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not healthy.done():
                    self._raise_if_given_up(child)
                    await asyncio.wait({healthy}, timeout=0.1)
            healthy.result()
        except TimeoutError as error:
            raise UsageError(
                f"The {child.program.name} did not answer within {START_TIMEOUT_S:g} s.",
                hint=f"Its log says why: {child.program.log}",
            ) from error
        finally:
            healthy.cancel()

    @staticmethod
    def _raise_if_given_up(child: Child) -> None:
        if child.failure is not None or child.ends >= MOST_ENDS_WHILE_STARTING:
            why = child.failure or child.last_words()
            raise UsageError(
                f"The {child.program.name} does not start: {why}",
                hint=f"Its log says more: {child.program.log}",
            )

    def _record(self) -> None:
        running = {name: child.process.pid for name, child in self.children.items() if child.process}
        record(self.state, running)


def _leaves(group: BaseExceptionGroup[UsageError]) -> Iterator[UsageError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


LARGEST_LOG_BYTES = 20 * 1024 * 1024


def rotate(program: Program) -> None:
    """Keeps one older log of a child, so that logs do not grow for ever."""
    try:
        if program.log.stat().st_size > LARGEST_LOG_BYTES:
            program.log.replace(program.log.with_suffix(".log.1"))
    except OSError:
        return
