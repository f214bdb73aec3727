"""Who may call a route."""

from enum import StrEnum
from typing import Annotated

import typer

from modelyard_cli.errors import CliError
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, show_data, show_table

ROUTES = "/v2/model-routes"


class Whom(StrEnum):
    PUBLIC = "public"
    EVERY_USER = "every-user"
    USERS = "users"


POLICIES = {Whom.PUBLIC: "public", Whom.EVERY_USER: "authed", Whom.USERS: "allowed_principals"}
SAID = {
    "public": "whoever asks, also without a key",
    "authed": "every user",
    "allowed_principals": "admins and",
}


def access(
    route: Annotated[str, typer.Argument(help="Name of the route.")],
    whom: Annotated[Whom | None, typer.Argument(help="Who may call it from now on.")] = None,
    users: Annotated[
        list[str] | None, typer.Argument(help="With 'users': their names; admins always may.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    if users and whom is not Whom.USERS:
        raise CliError("Names of users go with 'users'.", hint=f"modelyard access {route} users NAME...")
    api = api_of(url, api_key)
    found = [one for one in api.items(ROUTES) if one["name"] == route]
    if not found:
        raise CliError(f"No route is named {route!r}.", hint="See: modelyard ls routes")
    path = f"{ROUTES}/{found[0]['id']}/access"
    if whom is not None:
        ids = {one["username"]: one["id"] for one in api.items("/v2/users")} if users else {}
        unknown = [name for name in users or () if name not in ids]
        if unknown:
            raise CliError(f"No user is named {unknown[0]!r}.", hint="Users: GET /v2/users.")
        named = [{"id": ids[name]} for name in users or ()]
        told = api.post(path, {"access_policy": POLICIES[whom], "users": named})
    else:
        told = api.get(path)
    if output is not Output.TABLE:
        show_data(told, output)
    else:
        names = ", ".join(user["username"] for user in told["items"])
        who = SAID[told["access_policy"]]
        who = f"{who} {names or 'nobody else'}" if told["access_policy"] == POLICIES[Whom.USERS] else who
        show_table(("ROUTE", "MAY BE CALLED BY"), [(route, who)])
