"""Everything on this machine."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from modelyard_cli.embedded.options import UpOptions
from modelyard_cli.embedded.state import default_state_dir
from modelyard_cli.options import StateDirectory
from modelyard_cli.output import say

Host = Annotated[str, typer.Option(help="Address the api and the gateway listen on.")]
ApiPort = Annotated[int, typer.Option(min=1, max=65535, help="Port of the management API.")]
GatewayPort = Annotated[int, typer.Option(min=1, max=65535, help="Port for inference.")]
NatsPort = Annotated[int, typer.Option(min=1, max=65535, help="Port of the event log, on loopback.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the logs of all parts.")]
LogLevel = Annotated[str, typer.Option(help="Least level that the services log.")]


def up(
    state_dir: StateDirectory = None,
    host: Host = "127.0.0.1",
    api_port: ApiPort = 7700,
    gateway_port: GatewayPort = 7701,
    nats_port: NatsPort = 7702,
    worker: Annotated[bool, typer.Option(help="Run models on this machine.")] = True,
    log_level: LogLevel = "INFO",
    verbose: Verbose = False,
) -> None:
    options = UpOptions(
        state_dir=directory(state_dir),
        host=host,
        api_port=api_port,
        gateway_port=gateway_port,
        nats_port=nats_port,
        worker=worker,
        log_level=log_level,
    )
    check_modules(options)
    from modelyard_cli.embedded.up import run_up

    asyncio.run(run_up(options, say, verbose=verbose))


def directory(given: Path | None) -> Path:
    return (given or default_state_dir()).expanduser().absolute()


def check_modules(options: UpOptions) -> None:
    """Before anything is imported that may be missing. Raises `UsageError`."""
    from modelyard_cli.embedded import requirements

    requirements.check_modules(worker=options.worker)
    # children must find the packages where this process found them
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
