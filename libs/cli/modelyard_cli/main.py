"""`modelyard`: joins the commands. Of their code only what is called is loaded: all of it takes a second."""

import importlib
import os
import sys
from typing import Annotated

import typer

from modelyard_cli.commands.services import SERVICES, add_service
from modelyard_cli.errors import CliError
from modelyard_cli.version import installed_version

COMMANDS = {
    "up": (
        "up:up",
        "Run all of Modelyard on this machine: event log, database, services, a worker. Ctrl-C stops it.",
    ),
    "demo": (
        "demo:demo",
        "Start Modelyard, deploy a model, ask it a question, and go on serving. Ctrl-C stops it.",
    ),
    "deploy": ("deployments:deploy", "Serve a model."),
    "ls": ("listing:ls", "List deployments with their instances, or instances, workers, routes."),
    "show": ("showing:show", "Show a deployment: how it stands, what it was given, where to call it."),
    "logs": (
        "logs:logs",
        "Show the log of an instance; it stays readable after the instance has failed or was deleted.",
    ),
    "stop": ("deployments:stop", "Stop a deployment: no instance runs, the deployment stays."),
    "start": ("deployments:start", "Start a stopped deployment."),
    "scale": ("deployments:scale", "Run so many instances of a deployment."),
    "delete": (
        "deployments:delete",
        "Delete a deployment with its instances and its route, or one instance.",
    ),
    "estimate": (
        "estimate:estimate",
        "Show how much memory a model takes, part by part; exit code 0 if it fits, 3 if it does not.",
    ),
    "measured": (
        "measured:measured",
        "Show what model servers were found to hold, beside what was estimated.",
    ),
    "search": ("sources:search", "Search models on Hugging Face or ModelScope."),
    "inspect": ("sources:inspect", "Show what a model is, before anything of it is downloaded."),
    "events": (
        "events:events",
        "Show what happened and who said so; with -o json, whole CloudEvents, one a line, with their causes.",
    ),
    "explain": (
        "explain:explain",
        "Show why an instance is where it is, why not elsewhere, and what would make it fit.",
    ),
    "replay": (
        "replay:replay",
        "Decide a past placement again from the log; exit code 0 if the very same comes out, 3 if not.",
    ),
    "simulate": (
        "simulate:simulate",
        "Say which deployments would fit where, with claims and reasons; exit code 0 if all fit, 3 if not.",
    ),
    "login": (
        "keys:login",
        "Remember an api's address and who you are there (with --api-key, that key; else a session of 12 h).",
    ),
    "limits": (
        "limits:limits",
        "Show or change how much a key, a user or a route may be asked; what is not given stays as it is.",
    ),
    "access": (
        "access:access",
        "Show or change who may call a model: whoever asks, every user, or some users.",
    ),
    "usage": (
        "usage:usage",
        "Show requests and tokens, summed up by route, key, user, instance, hour or day.",
    ),
    "keys": ("keys:keys_app", "Make, list and revoke API keys."),
    "compose": ("compose:compose_app", "Secrets and keys of the compose stack (deploy/compose)."),
    "hub-token": ("hub_tokens:hub_token_app", "Keep your tokens for gated models of the hubs."),
    "files": ("files:files_app", "Models on workers' disks."),
    "asyncapi": (
        "asyncapi:asyncapi",
        "Write the AsyncAPI document of the event log: every event, and who states it.",
    ),
    "version": ("version:version", "Print the version."),
}
"""Each with where it is under `commands`, and its help."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 it failed; 2 it was put wrongly, or something is missing on this machine; "
    "3 the answer is no (estimate and simulate: it does not fit; replay: something else comes out); "
    "130 ended by Ctrl-C."
)
INTERRUPTED = 130


def app_for(called: str | None) -> typer.Typer:
    """All commands by their names; with the code of the one that is called, or of all for None."""
    app = typer.Typer(
        name="modelyard",
        help="Serves AI models on a team's own machines.",
        epilog=EXIT_CODES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, (place, text) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        if called not in (name, None):
            app.command(name, help=text)(_nothing)
            continue
        found = getattr(importlib.import_module(f"modelyard_cli.commands.{module}"), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, help=text)
        else:
            app.command(name, help=text)(found)
    for name in SERVICES:
        add_service(app, name)
    return app


def main() -> None:
    completes = "_MODELYARD_COMPLETE" in os.environ
    try:
        app_for(None if completes else next(iter(sys.argv[1:]), ""))()
    except CliError as error:
        typer.echo(f"modelyard: {error.message}", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(installed_version())
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
]


def _options(version: Version = False) -> None:
    """Those before the name of a command."""


def _nothing() -> None:
    """In the place of commands that are not called."""
