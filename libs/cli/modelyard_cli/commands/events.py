"""The story of the cluster."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import httpx
import typer

from modelyard_cli.client import Api, Json
from modelyard_cli.errors import CliError
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, note

RETRY_S = 1.0


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens.")] = False,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only such events; repeat.")] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(help="Only about this, such as deployment/3 with all that is its; repeat."),
    ] = None,
    since: Annotated[int | None, typer.Option(min=0, help="Only beyond this sequence.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, without --follow.")] = 100,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    """Show what happened, who did it and why; as JSON, one CloudEvent a line."""
    api = api_of(url, api_key)
    params: dict[str, Any] = {"type": type_ or [], "subject": subject or []}
    if since is not None:
        params["since"] = since
    try:
        found = _follow(api, params) if follow else _page(api, params, limit)
        for event in found:
            typer.echo(json.dumps(event, ensure_ascii=False) if output is Output.JSON else line(event))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def line(event: Json) -> str:
    data = json.dumps(event.get("data", {}), ensure_ascii=False, separators=(",", ":"))
    shortened = data if len(data) <= 160 else data[:159] + "…"
    seq = event.get("sequence", event.get("seq", ""))
    actor = event.get("actor", "")
    return f"{seq:>7}  {event['time']}  {event['type']:<24} {event['subject']:<18} {actor:<16} {shortened}"


def _page(api: Api, params: dict[str, Any], limit: int) -> Iterator[Json]:
    """Oldest first: the first ones beyond `since` if that was said, else the latest."""
    if "since" in params:
        yield from api.get("/v2/events", **params, limit=limit)["items"]
    else:
        yield from reversed(api.get("/v2/events", **params, limit=limit, order="desc")["items"])


def _follow(api: Api, params: dict[str, Any]) -> Iterator[Json]:
    """Without end: after a broken connection it goes on where it was."""
    last: str | None = None
    refused_before_any = True
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        try:
            with api.stream("/v2/events", headers=headers, **params, follow="true") as response:
                refused_before_any = False
                for ident, data in server_sent(response.iter_lines()):
                    last = ident or last
                    yield json.loads(data)
        except CliError as error:
            if refused_before_any or not isinstance(error.__cause__, httpx.HTTPError):
                raise
            note(f"{error.message} Trying again ...")
        time.sleep(RETRY_S)


def server_sent(lines: Iterable[str]) -> Iterator[tuple[str | None, str]]:
    """Each message's id and data, of a stream as the HTML standard's section on server-sent events has it."""
    ident: str | None = None
    data: list[str] = []
    for text in lines:
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not text:
            if data:
                yield ident, "\n".join(data)
            data = []
        elif name == "id":
            ident = value
        elif name == "data":
            data.append(value)
