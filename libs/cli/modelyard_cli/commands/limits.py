"""How much keys, users and routes may be asked."""

from enum import StrEnum
from typing import Annotated

import typer

from modelyard_cli.client import Api, Json
from modelyard_cli.errors import CliError
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, show_data, show_table


class Limited(StrEnum):
    KEY = "key"
    USER = "user"
    ROUTE = "route"


PATHS = {Limited.KEY: "/v2/api-keys", Limited.USER: "/v2/users", Limited.ROUTE: "/v2/model-routes"}
COLUMNS = ("requests_per_minute", "tokens_per_minute", "concurrency", "tokens_per_day")

Number = Annotated[int | None, typer.Option(min=0, help="0: any number.")]


def limits(
    kind: Annotated[Limited, typer.Argument(help="Whose limits.")],
    name: Annotated[str, typer.Argument(metavar="NAME|ID", help="Name or id of the key, user or route.")],
    requests_per_minute: Number = None,
    tokens_per_minute: Number = None,
    concurrency: Number = None,
    tokens_per_day: Number = None,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    api = api_of(url, api_key)
    found = _find(api, kind, name)
    said = (requests_per_minute, tokens_per_minute, concurrency, tokens_per_day)
    given = {column: value or None for column, value in zip(COLUMNS, said, strict=True) if value is not None}
    if given:
        found = api.put(f"{PATHS[kind]}/{found['id']}/limits", {**found["limits"], **given})
    if output is not Output.TABLE:
        show_data(found["limits"], output)
    else:
        rows = [(column.replace("_", " "), found["limits"][column] or "any number") for column in COLUMNS]
        show_table((f"{kind} {found['id']}".upper(), "AT MOST"), rows)


def _find(api: Api, kind: Limited, name: str) -> Json:
    """Raises `CliError`."""
    field = "username" if kind is Limited.USER else "name"
    found = [
        one
        for one in api.items(PATHS[kind])
        if one[field] == name or (name.isdecimal() and one["id"] == int(name))
    ]
    if len(found) != 1:
        several = f"Several {kind}s are" if found else f"No {kind} is"
        raise CliError(f"{several} named {name!r}.", hint="Name it by its id.")
    answer: Json = found[0]
    return answer
