"""What was used."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from modelyard_cli.client import Json
from modelyard_cli.commands.keys import seconds
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, say, show_data, show_table


class By(StrEnum):
    HOUR = "hour"
    DAY = "day"
    USER = "user"
    KEY = "key"
    ROUTE = "route"
    INSTANCE = "instance"


COUNTS = ("requests", "failed", "in_flight", "tokens_in", "tokens_cached", "tokens_out")

Id = Annotated[int | None, typer.Option(metavar="ID", help="Of this one alone.")]


def usage(
    by: Annotated[
        list[By] | None, typer.Option(help="What to sum up by; repeat. The route if not given.")
    ] = None,
    since: Annotated[str, typer.Option(help="How far back, such as 12h or 7d.")] = "30d",
    timezone: Annotated[str, typer.Option(help="Whose days are meant, such as Europe/Berlin.")] = "UTC",
    user: Id = None,
    key: Id = None,
    route: Id = None,
    instance: Id = None,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    groups = [one.value for one in by or (By.ROUTE,)]
    start = datetime.now(UTC) - timedelta(seconds=seconds(since, "--since"))
    asked = {"user_id": user, "key_id": key, "route_id": route, "instance_id": instance}
    only = {name: ident for name, ident in asked.items() if ident is not None}
    found = api_of(url, api_key).get(
        "/v2/usage", group_by=",".join(groups), timezone=timezone, **{"from": start.isoformat()}, **only
    )["items"]
    if output is not Output.TABLE:
        show_data(found, output)
    elif not found:
        say("Nothing was used.")
    else:
        columns = [*groups, *COUNTS, "mean s", "first token s"]
        show_table([name.replace("_", " ").upper() for name in columns], [_row(one, groups) for one in found])


def _row(one: Json, groups: list[str]) -> list[object]:
    named = [one.get(f"{group}_name") or one.get(group) or one.get(f"{group}_id") for group in groups]
    return [*named, *(one[name] for name in COUNTS), one["mean_duration_s"], one["mean_first_token_s"]]
