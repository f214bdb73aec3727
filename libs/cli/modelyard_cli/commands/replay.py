"""A past placement, decided once more from the log."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from modelyard_contracts.envelope import from_cloud_event
from modelyard_contracts.events import EVENT_TYPES

from modelyard_cli.client import Api, Json
from modelyard_cli.errors import CliError, UsageError
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, say, show_data

if TYPE_CHECKING:
    from modelyard_scheduler.domain.replaying import Replayed

PAGE = 1000


def replay(
    decision: Annotated[
        str, typer.Argument(help="Sequence or id of an InstanceScheduled or InstanceUnschedulable event.")
    ],
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    event, replayed = _replayed(api_of(url, api_key), decision)
    _show(event, replayed, output)
    if not replayed.identical:
        raise typer.Exit(3)


def _replayed(api: Api, decision: str) -> tuple[Json, "Replayed"]:
    """The event of that sequence or id, and what comes out with the log up to it. Raises `CliError`."""
    try:
        from modelyard_scheduler.domain.replaying import NotReplayable, Replay
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The Python package of {error.name!r} is missing.",
            hint="Install what is needed with: pip install 'modelyard[scheduler]'",
        ) from error
    replaying = Replay()
    for event in _needed(api):
        recorded = from_cloud_event(event)
        if str(event["sequence"]) == decision or event["id"] == decision:
            try:
                return event, replaying.decide(recorded)
            except NotReplayable as error:
                raise CliError(str(error)) from error
        replaying.add([recorded])
    raise CliError(f"The log holds no placement {decision!r}.", hint="'modelyard events' shows sequences.")


def _needed(api: Api) -> Iterator[Json]:
    """Every event that placements depend on, oldest first."""
    from modelyard_scheduler.domain.replaying import NEEDED

    types = [name for name, event in EVENT_TYPES.items() if event.aggregate in NEEDED]
    since = 0
    while True:
        page = api.get("/v2/events", since=since, limit=PAGE, type=types)
        yield from page["items"]
        if not page["items"]:
            return
        since = page["next_since"]


def _show(event: Json, replayed: "Replayed", output: Output) -> None:
    again = replayed.again.model_dump(mode="json") if replayed.again is not None else None
    if output is not Output.TABLE:
        show_data({"identical": replayed.identical, "recorded": event["data"], "again": again}, output)
        return
    decision = replayed.recorded.decision
    where = f"{event['type']} of {event['subject']}, sequence {event['sequence']}"
    say(f"{where}: decided by {decision.policy} on the log up to {decision.decided_at_seq}.")
    if replayed.identical:
        say("Decided again, the same comes out, byte for byte.")
        return
    say("Decided again, something else comes out:")
    if replayed.again is not None and replayed.again.decision.policy != decision.policy:
        say(f"(It was decided by {decision.policy}; this build decides by {replayed.again.decision.policy}.)")
    say(f"  recorded: {replayed.recorded.model_dump_json()}")
    say(f"  again:    {replayed.again.model_dump_json() if replayed.again is not None else 'nothing'}")
