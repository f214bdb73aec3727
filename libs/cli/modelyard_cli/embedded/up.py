"""`modelyard up`: the life of the stack from the first check to the last process."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field

import httpx
from modelyard_runtime.private_files import write_private

from modelyard_cli.embedded.account import ADMIN, Account, last_event, open_account, worker_ready
from modelyard_cli.embedded.health import Check
from modelyard_cli.embedded.log_tail import tail
from modelyard_cli.embedded.options import UpOptions
from modelyard_cli.embedded.secrets import secrets_of
from modelyard_cli.embedded.stack import Stack, Tell
from modelyard_cli.embedded.state import Addresses, StateDir
from modelyard_cli.errors import CliError, UsageError

Then = Callable[[Account], Awaitable[bool]]
"""What to do once everything runs; True to go on running, False to stop."""


async def run_up(options: UpOptions, tell: Tell, *, then: Then | None = None, verbose: bool = False) -> None:
    """Runs until SIGINT, SIGTERM or SIGHUP, or until `then` has had enough; ends every process it started.

    Raises `UsageError` if it cannot start.
    """
    state = StateDir(options.state_dir.expanduser().absolute())
    state.make()
    with state.locked():
        async with AsyncExitStack() as leaving:
            up = _Up(options, state, tell)
            leaving.push_async_callback(up.end)
            if verbose:
                tailing = asyncio.create_task(tail(state.logs, tell))
                leaving.callback(tailing.cancel)
            with_signals = _until_signal()
            await up.run(then, with_signals)


@dataclass
class _Up:
    options: UpOptions
    state: StateDir
    tell: Tell
    stack: Stack = field(init=False)

    def __post_init__(self) -> None:
        self.stack = Stack(self.options, self.state, self.tell)

    async def run(self, then: Then | None, stop: asyncio.Event) -> None:
        working = asyncio.create_task(self._work(then))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done() and working.result():
            await stopping
        for task in (working, stopping):
            task.cancel()
        # what `working` raises while it is cancelled is of no interest any more
        await asyncio.wait({working, stopping})

    async def end(self) -> None:
        started = bool(self.stack.children)
        if started:
            self.tell("stopping ...")
        self.state.address_file.unlink(missing_ok=True)
        await self.stack.stop()
        if started:
            self.tell(f"stopped; the data is kept in {self.state.root}")

    async def _work(self, then: Then | None) -> bool:
        """True if the stack should go on running."""
        self.tell(f"Modelyard keeps its data in {self.state.root}")
        await self.stack.start()
        account = await self._account()
        if self.options.worker:
            await self.stack.start_worker(await self._worker_check(account.key))
        addresses = Addresses(self.options.api_url, self.options.gateway_url)
        write_private(self.state.address_file, json.dumps(asdict(addresses)) + "\n")
        if then is not None:
            try:
                return await then(account)
            except CliError as error:
                # the demo failed, the stack did not: say so and stop
                raise UsageError(error.message, hint=error.hint) from error
        self.tell("")
        for line in summary(self.options, account):
            self.tell(line)
        return True

    async def _worker_check(self, key: str | None) -> Check | None:
        if key is None:
            return None
        api_url = self.options.api_url
        try:
            return worker_ready(api_url, key, await last_event(api_url, key))
        except httpx.HTTPError as error:
            raise UsageError(f"The api does not answer: {error}.") from error

    async def _account(self) -> Account:
        try:
            return await open_account(self.options.api_url, self.state, secrets_of(self.state))
        except httpx.HTTPError as error:
            raise UsageError(
                f"The api does not let the admin in: {error}.",
                hint=f"Its log says why: {self.state.logs / 'api.log'}",
            ) from error


def summary(options: UpOptions, account: Account) -> list[str]:
    lines = [
        "Modelyard is up. Ctrl-C stops it; the data stays.",
        f"  management API   {options.api_url}/v2",
        f"  inference        {options.gateway_url}/v1",
    ]
    if account.first_password is not None:
        lines.append(f"  first login      {ADMIN} / {account.first_password}")
    return lines


def _until_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    return stop
