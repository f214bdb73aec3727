"""What model servers say."""

import sys
from typing import Annotated

import typer

from modelyard_cli import deployments
from modelyard_cli.client import Api, Json
from modelyard_cli.errors import CliError
from modelyard_cli.options import ApiKey, Url, api_of
from modelyard_cli.output import note


def logs(
    name: Annotated[str, typer.Argument(help="A deployment, an instance, or an instance's id.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    tail: Annotated[int, typer.Option(min=-1, help="So many last lines; -1 for all.")] = -1,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    api = api_of(url, api_key)
    show_log(api, f"/v2/model-instances/{_instance_id(api, name)}/logs", tail, follow=follow)


def show_log(api: Api, path: str, tail: int, *, follow: bool) -> None:
    try:
        with api.stream(path, tail=tail, follow=str(follow).lower()) as response:
            for piece in response.iter_bytes():
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _instance_id(api: Api, name: str) -> int:
    named = [one for one in api.items("/v2/model-instances", search=name) if one["name"] == name]
    if named:
        return int(named[0]["id"])
    if name.isdecimal():
        return int(name)
    model = deployments.find_or_none(api, name)
    if model is None:
        raise CliError(
            f"There is no instance or deployment {name!r}.",
            hint="'modelyard ls' shows those there are; a deleted instance is found by its id.",
        )
    return _chosen(deployments.instances_of(api, model["id"]), name)


def _chosen(instances: list[Json], name: str) -> int:
    """The first that runs, else the newest."""
    if not instances:
        raise CliError(f"{name} has no instance.", hint=f"Start it with 'modelyard start {name}'.")
    running = [one for one in instances if one["state"] == "running"]
    chosen = running[0] if running else instances[-1]
    if len(instances) > 1:
        note(f"{name} has {len(instances)} instances; this is the log of {chosen['name']}.")
    return int(chosen["id"])
