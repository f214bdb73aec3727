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
from modelyard_cli.output import Output, as_yaml, note, say

RETRY_S = 1.0
SHOWN = 60
"""Characters of an object or a list that is shown as it is."""
LONGEST = 200
"""Characters of a text."""


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens.")] = False,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only such events; repeat.")] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(help="Only about this, such as deployment/3 with all that is its; repeat."),
    ] = None,
    since: Annotated[int | None, typer.Option(min=0, help="Only beyond this sequence.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, without --follow.")] = 100,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    api = api_of(url, api_key)
    params: dict[str, Any] = {"type": type_ or [], "subject": subject or []}
    if since is not None:
        params["since"] = since
    found = _follow(api, params) if follow else _page(api, params, limit)
    try:
        shown = _show(found, output)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if not shown:
        of = f" of {' or '.join(subject)}" if subject else ""
        note(f"No event was found{of}.")


def _show(found: Iterator[Json], output: Output) -> int:
    """How many there were."""
    shown = 0
    for event in found:
        if output is Output.TABLE:
            say(line(event) if shown else f"{HEADER}\n{line(event)}")
        else:
            say(json.dumps(event, ensure_ascii=False) if output is Output.JSON else f"---\n{as_yaml(event)}")
        shown += 1
    return shown


def line(event: Json) -> str:
    told = " ".join(_told(event["data"], of=event["subject"]))
    return _columns(
        str(event["sequence"]), event["time"], event["type"], event["subject"], event["actor"], told
    )


def _columns(seq: str, time_: str, type_: str, subject: str, actor: str, told: str) -> str:
    return f"{seq:>7}  {time_:<27}  {type_:<24} {subject:<18} {actor:<16} {told}".rstrip()


HEADER = _columns("SEQ", "TIME", "EVENT", "SUBJECT", "SAID BY", "DATA")


def _told(data: Json, *, of: str) -> Iterator[str]:
    """What an event says, without what its subject says and what it leaves open. What is long is counted."""
    kind, _, ident = of.partition("/")
    for name, value in data.items():
        says_its_subject = name.endswith("_id") and name[:-3] in kind and str(value) == ident
        if value in (None, "", [], {}) or says_its_subject:
            continue
        text = (
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        )
        if isinstance(value, dict | list) and len(text) > SHOWN:
            text = f"{{{len(value)} fields}}" if isinstance(value, dict) else f"[{len(value)} items]"
        yield f"{name}={text if len(text) <= LONGEST else text[: LONGEST - 1] + '…'}".replace("\n", " ")


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
