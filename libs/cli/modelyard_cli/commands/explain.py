"""Why an instance is where it is, why not elsewhere, and what would make it fit."""

from collections.abc import Iterator
from typing import Annotated

import typer

from modelyard_cli import deployments
from modelyard_cli.client import Api, Json
from modelyard_cli.errors import CliError
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, gib, say, show_json


def explain(
    name: Annotated[str, typer.Argument(help="Name of an instance, or of a deployment for all of its own.")],
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    """Show why an instance is where it is, why not elsewhere, and what would make it fit."""
    api = api_of(url, api_key)
    found = [api.get(f"/v2/model-instances/{one['id']}/explain") for one in _instances(api, name)]
    if output is Output.JSON:
        show_json(found)
        return
    for one in found:
        for line in lines(one):
            say(line)


def _instances(api: Api, name: str) -> list[Json]:
    """Raises `CliError`."""
    named = [one for one in api.items("/v2/model-instances", search=name) if one["name"] == name]
    if named:
        return named
    model = deployments.find_or_none(api, name)
    if model is None:
        raise CliError(
            f"There is no instance and no deployment {name!r}.",
            hint="'modelyard ls instances' shows the instances there are.",
        )
    return deployments.instances_of(api, model["id"])


def lines(told: Json) -> Iterator[str]:
    where = f" on {told['worker_name']}" if told["worker_name"] else ""
    yield f"{told['name']}: {told['state']}{where}"
    yield from _decided(told["decision"])
    yield from _as_of_now(told["now"], told["worker_name"])
    if told["message"]:
        yield f"  How it stands now is not known: {told['message']}"


def _decided(event: Json | None) -> Iterator[str]:
    if event is None:
        yield "  No placement was decided yet."
        return
    decision = event["decision"]
    upto = decision["decided_at_seq"]
    made = f"by {decision['policy']} at sequence {event['sequence']}, on the log up to {upto}"
    if event["type"] == "InstanceUnschedulable":
        yield f"  Not placed, decided {made}:"
        yield from (f"    {reason['message']}" for reason in event["reasons"])
        return
    yield f"  Placed on {event['worker_name']}, decided {made}."
    claim = event["claim"]
    parts = [f"{device} {gib(size)}" for device, size in sorted(claim["vram_bytes"].items())]
    yield "    takes " + ", ".join([*parts, f"{gib(claim['ram_bytes'])} of main memory"])
    for rank, candidate in enumerate(decision["best"]):
        yield f"    {'chosen' if rank == 0 else 'next'}: {_place(candidate)}"
    yield from _against(decision["against"])


def _against(reasons: list[Json]) -> Iterator[str]:
    yield from (f"    not {reason['worker']}: {reason['message']}" for reason in reasons)


def _as_of_now(now: Json | None, worker: str | None) -> Iterator[str]:
    if now is None:
        return
    yield f"  As of sequence {now['at_seq']}, of {now['workers_in_all']} workers:"
    for verdict in now["verdicts"]:
        if verdict["place"] is not None:
            mark = " (here)" if verdict["worker"] == worker else ""
            yield f"    fits on {_place(verdict['place'])}{mark}"
        for reason in verdict["reasons"]:
            yield f"    {reason['check']}: {reason['message']}"
    if now["remedies"]:
        yield "  What would make it fit:"
        yield from (f"    {remedy['message']}" for remedy in now["remedies"])


def _place(candidate: Json) -> str:
    devices = f" {', '.join(candidate['devices'])}" if candidate["devices"] else ""
    parts = ", ".join(f"{name} {value:.2f}" for name, value in candidate["parts"].items())
    return f"{candidate['worker']}{devices}, score {candidate['score']:.2f}" + (
        f" ({parts})" if parts else ""
    )
