"""The tokens that a user keeps at the api for Hugging Face and ModelScope."""

import sys
from typing import Annotated

import typer

from modelyard_cli.commands.sources import Source
from modelyard_cli.errors import UsageError
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, say, show_data, show_table

hub_token_app = typer.Typer(no_args_is_help=True)
PATH = "/v2/users/me/hub-tokens"


HubOf = Annotated[Source, typer.Argument(help="Whose token it is.")]


@hub_token_app.command("set")
def set_(hub: HubOf, url: Url = None, api_key: ApiKey = None) -> None:
    """Keep a token, read from standard input or asked for; what you deploy from that hub comes with it."""
    api = api_of(url, api_key)
    if sys.stdin.isatty():
        token = typer.prompt(f"Token for {hub.value}", hide_input=True, err=True)
    else:
        token = sys.stdin.readline().strip()
    if not token:
        raise UsageError("There is no token on standard input.")
    api.put(f"{PATH}/{hub.value}", {"token": token})
    say(f"Your token for {hub.value} is kept.")


@hub_token_app.command("list")
def list_(url: Url = None, api_key: ApiKey = None, output: Format = Output.TABLE) -> None:
    """Show for which hubs you keep a token, never the token."""
    kept = api_of(url, api_key).get(PATH)
    if output is not Output.TABLE:
        show_data(kept, output)
        return
    show_table(("HUB", "TOKEN"), [(hub, "kept" if is_set else "none") for hub, is_set in kept.items()])


@hub_token_app.command("delete")
def delete(hub: HubOf, url: Url = None, api_key: ApiKey = None) -> None:
    """Delete a token; deployments that were made with it keep theirs."""
    api_of(url, api_key).delete(f"{PATH}/{hub.value}")
    say(f"Your token for {hub.value} is deleted.")
