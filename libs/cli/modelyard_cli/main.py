"""`modelyard`: joins the commands."""

import json
import sys
from importlib.metadata import PackageNotFoundError, version

import typer

from modelyard_cli.commands import deployments, listing, sources
from modelyard_cli.commands.access import access
from modelyard_cli.commands.compose import compose_app
from modelyard_cli.commands.demo import demo
from modelyard_cli.commands.estimate import estimate
from modelyard_cli.commands.events import events
from modelyard_cli.commands.explain import explain
from modelyard_cli.commands.files import files_app
from modelyard_cli.commands.hub_tokens import hub_token_app
from modelyard_cli.commands.keys import keys_app, login
from modelyard_cli.commands.limits import limits
from modelyard_cli.commands.logs import logs
from modelyard_cli.commands.measured import measured
from modelyard_cli.commands.replay import replay
from modelyard_cli.commands.services import add_services
from modelyard_cli.commands.simulate import simulate
from modelyard_cli.commands.up import up
from modelyard_cli.commands.usage import usage
from modelyard_cli.errors import CliError, UsageError

app = typer.Typer(
    name="modelyard",
    help="Serves AI models on a team's own machines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(up)
app.command()(demo)
add_services(app)
app.command()(deployments.deploy)
app.command()(listing.ls)
app.command()(listing.show)
app.command()(logs)
app.command()(deployments.stop)
app.command()(deployments.start)
app.command()(deployments.scale)
app.command()(deployments.delete)
app.command()(estimate)
app.command()(measured)
app.command()(sources.search)
app.command()(sources.inspect)
app.command()(events)
app.command()(explain)
app.command()(replay)
app.command()(simulate)
app.command()(login)
app.command()(limits)
app.command()(access)
app.command()(usage)
app.add_typer(keys_app, name="keys")
app.add_typer(compose_app, name="compose")
app.add_typer(hub_token_app, name="hub-token")
app.add_typer(files_app, name="files")


@app.command("version")
def show_version() -> None:
    """Print the version."""
    typer.echo(_version())


@app.command()
def asyncapi() -> None:
    """Write the AsyncAPI document of the event log: every event, and who states it."""
    try:
        from modelyard_eventlog.asyncapi import document
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The Python package of {error.name!r} is missing.",
            hint="Install what is needed with: pip install 'modelyard[api]'",
        ) from error
    typer.echo(json.dumps(document(version=_version()), indent=2))


def main() -> None:
    try:
        app()
    except CliError as error:
        typer.echo(f"modelyard: {error.message}", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        sys.exit(error.exit_code)


def _version() -> str:
    try:
        return version("modelyard")
    except PackageNotFoundError:
        return "unknown"
