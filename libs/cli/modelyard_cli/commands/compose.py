"""What the compose stack needs before it runs."""

import os
from pathlib import Path
from typing import Annotated

import typer
from modelyard_runtime.clock import now

from modelyard_cli.errors import UsageError

compose_app = typer.Typer(no_args_is_help=True)


@compose_app.command("secrets")
def secrets() -> None:
    """Write new secrets as lines for .env; refused where there are some already."""
    from modelyard_cli.compose.secrets import new_secrets

    made = new_secrets(now())
    there = [name for name in made if os.environ.get(name)]
    if there:
        raise UsageError(
            f"There are secrets in .env already: {', '.join(there)}.",
            hint="Data is sealed with them. To start afresh, remove these lines and the volumes.",
        )
    for name, value in made.items():
        typer.echo(f"{name}={value}")


@compose_app.command("keys")
def keys(
    directory: Annotated[Path, typer.Argument(help="Where to write, one directory a service.")],
    host: Annotated[str, typer.Option(envvar="PUBLIC_HOST", help="Name or address of this machine.")],
) -> None:
    """Write NATS's configuration, credentials and certificates, made from the secrets in the environment."""
    from modelyard_cli.compose.keys import write_keys

    for path in write_keys(directory, host, os.environ, now()):
        typer.echo(f"{directory / path}")


@compose_app.command("join")
def join(
    address: Annotated[str, typer.Argument(help="Address of the other machine, as the gateway reaches it.")],
    containers: Annotated[
        bool, typer.Option("--containers", help="Model servers run in containers of their own there.")
    ] = False,
    gpus: Annotated[bool, typer.Option("--gpus", help="The same, with the machine's NVIDIA GPUs.")] = False,
) -> None:
    """Write the command by which another machine joins. It holds the join token."""
    from modelyard_cli.compose.joining import join_command

    typer.echo(join_command(address, os.environ, containers=containers, gpus=gpus))
