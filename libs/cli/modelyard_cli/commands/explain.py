"""Why an instance is where it is, why not elsewhere, and what would make it fit."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from modelyard_cli import deployments
from modelyard_cli.client import Api, Json
from modelyard_cli.errors import CliError
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, say, show_data, size_text

NAMED = 3
BYTES = frozenset({"vram", "ram", "disk"})


def explain(
    name: Annotated[str, typer.Argument(help="Name of an instance, or of a deployment for all of its own.")],
    url: Url = None,
    api_key: ApiKey = None,
    full: Annotated[
        bool, typer.Option("--full", help="Every worker and device, as it was when the decision was made.")
    ] = False,
    output: Format = Output.TABLE,
) -> None:
    api = api_of(url, api_key)
    found = [
        {
            **api.get(f"/v2/model-instances/{one['id']}/explain", full=str(full).lower()),
            "state_message": one["state_message"],
        }
        for one in _instances(api, name)
    ]
    names = {worker["id"]: worker["name"] for worker in api.items("/v2/workers")}
    if output is not Output.TABLE:
        show_data(found, output)
        return
    for one in found:
        for line in lines(one, names):
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


def lines(told: Json, names: Mapping[int, str]) -> Iterator[str]:
    """`names` of workers, by id."""
    where = f" on {told['worker_name']}" if told["worker_name"] else ""
    why = f": {told['state_message']}" if told["state"] == "error" else ""
    yield f"{told['name']}: {told['state']}{where}{why}"
    yield from _decided(told["decision"], names)
    yield from _as_of_now(told["now"], told["worker_name"])
    if told["message"]:
        yield f"  How it stands now is not known: {told['message']}"


def _decided(event: Json | None, names: Mapping[int, str]) -> Iterator[str]:
    if event is None:
        yield "  No placement was decided yet."
        return
    decision = event["decision"]
    upto = decision["decided_at_seq"]
    made = f"by {decision['policy']} at sequence {event['sequence']}, on the log up to {upto}"
    if event["type"] == "InstanceUnschedulable":
        yield f"  Not placed, decided {made}:"
        yield from (f"    {reason['message']}" for reason in event["reasons"])
        yield from _looked_at(decision, names, event.get("looks"))
        return
    yield f"  Placed on {event['worker_name']}, decided {made}."
    claim = event["claim"]
    parts = [f"{device} {size_text(size)}" for device, size in sorted(claim["vram_bytes"].items())]
    yield "    takes " + ", ".join([*parts, f"{size_text(claim['ram_bytes'])} of main memory"])
    for rank, candidate in enumerate(decision["best"]):
        yield f"    {'chosen' if rank == 0 else 'next'}: {_place(candidate)}"
    yield from (f"    not {reason['worker']}: {reason['message']}" for reason in decision["against"])
    yield from _looked_at(decision, names, event.get("looks"))


def _looked_at(decision: Json, names: Mapping[int, str], full: list[Json] | None) -> Iterator[str]:
    if full is not None:
        yield f"  Each of {decision['workers']} workers when this was decided:"
        for row in full:
            name = row["worker"] or f"worker {row['worker_id']}"
            yield f"    {name} {row['device'] or ''}".rstrip() + f": {_verdict(row)}"
    elif decision["verdicts"]:
        yield f"  When this was decided, of {decision['workers']} workers:"
        yield from (f"    {_members(one['members'], names)}: {_verdict(one)}" for one in decision["verdicts"])


def _members(members: list[Json], names: Mapping[int, str]) -> str:
    told = [
        " ".join([names.get(ident, f"worker {ident}"), *one["devices"]])
        for one in members
        for first, last in one["workers"]
        for ident in range(first, last + 1)
    ]
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return ", ".join(told[:NAMED]) + more


def _verdict(one: Json) -> str:
    if one["check"] is None:
        if one["score"] is None:
            return "has room, but its worker has not enough of the like"
        parts = ", ".join(f"{name} {value:.2f}" for name, value in one["parts"].items())
        most = f" to {one['score_most']:.2f}" if one.get("score_most") is not None else ""
        return f"fits, score {one['score']:.2f}{most}" + (f" ({parts})" if parts else "")
    has, most = _amount(one["check"], one["available"]), _amount(one["check"], one.get("available_most"))
    needed = _amount(one["check"], one["needed"])
    there = f"has {has}{f' to {most}' if most and most != has else ''}" if has else ""
    asked = f"{needed} needed" if needed else ""
    return ": ".join(part for part in (one["check"], ", ".join(filter(None, (there, asked)))) if part)


def _amount(check: str, amount: int | str | None) -> str:
    if amount is None:
        return ""
    return size_text(amount) if isinstance(amount, int) and check in BYTES else str(amount)


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
