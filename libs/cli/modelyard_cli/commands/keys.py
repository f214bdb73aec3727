"""API keys, and logging in."""

import re
from typing import Annotated, Any

import typer
from modelyard_contracts.access import Scope

from modelyard_cli.client import Api
from modelyard_cli.config import Target, resolve, save_login
from modelyard_cli.errors import UsageError
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, note, say, show_data, show_table

keys_app = typer.Typer(no_args_is_help=True)

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def login(
    address: Annotated[str | None, typer.Argument(metavar="[URL]", help="Address of the api.")] = None,
    username: Annotated[str, typer.Option(help="User to log in as.")] = "admin",
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    target = resolve(address or url, api_key)
    if api_key is None:
        password = typer.prompt(f"Password of {username} at {target.url}", hide_input=True, err=True)
        answer = Api(Target(target.url, None)).post(
            "/auth/login", {"username": username, "password": password}
        )
        target = Target(target.url, answer["access_token"])
    Api(target).get("/v2/models", perPage=1)
    path = save_login(target)
    say(f"Logged in at {target.url}; kept in {path}.")


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    expires_in: Annotated[
        str | None, typer.Option("--expires", "--expires-in", help="Such as 12h or 30d; never if not given.")
    ] = None,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it is good for; repeat. Everything if not given.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="The only models it may call; repeat.")] = None,
    description: Annotated[str | None, typer.Option(help="A note for people.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    """Make an API key. It is shown this once."""
    body: dict[str, Any] = {"name": name}
    if description is not None:
        body["description"] = description
    if expires_in is not None:
        body["expires_in"] = seconds(expires_in)
    if scope:
        body["scope"] = [one.value for one in scope]
    if model:
        body["allowed_model_names"] = model
    made = api_of(url, api_key).post("/v2/api-keys", body)
    if output is not Output.TABLE:
        show_data(made, output)
        return
    note(f"Key {made['id']} ({name}); it is not shown again:")
    say(made["value"])


@keys_app.command("list")
def list_(url: Url = None, api_key: ApiKey = None, output: Format = Output.TABLE) -> None:
    """List API keys, without their secrets."""
    items = sorted(api_of(url, api_key).items("/v2/api-keys"), key=lambda item: item["id"])
    if output is not Output.TABLE:
        show_data(items, output)
        return
    rows = [
        (
            item["id"],
            item["name"],
            item["masked_value"],
            item["expires_at"],
            ", ".join(item["scope"]),
            _models(item["allowed_model_names"]),
        )
        for item in items
    ]
    show_table(("ID", "NAME", "KEY", "EXPIRES", "SCOPE", "MODELS"), rows)


@keys_app.command("revoke")
def revoke(
    ident: Annotated[int, typer.Argument(metavar="ID", help="Id of the key.")],
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """End an API key at once."""
    api_of(url, api_key).delete(f"/v2/api-keys/{ident}")
    say(f"Key {ident} is revoked.")


def seconds(text: str, flag: str = "--expires") -> int:
    """`90`, `15m`, `12h`, `30d`. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+)([smhd]?)", text)
    if match is None:
        raise UsageError(f"{flag} takes a time such as 90s, 15m, 12h or 30d, not {text!r}.")
    return int(match[1]) * UNITS[match[2] or "s"]


def _models(names: list[str] | None) -> str:
    return "all" if names is None else ", ".join(names) or "none"
