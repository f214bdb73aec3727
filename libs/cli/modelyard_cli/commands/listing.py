"""What there is."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from modelyard_cli.client import Api, Json
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, say, show_data, show_table, size_text

Row = Sequence[object]


class Resource(StrEnum):
    DEPLOYMENTS = "deployments"
    INSTANCES = "instances"
    WORKERS = "workers"
    ROUTES = "routes"


PATHS = {
    Resource.DEPLOYMENTS: "/v2/models",
    Resource.INSTANCES: "/v2/model-instances",
    Resource.WORKERS: "/v2/workers",
    Resource.ROUTES: "/v2/model-routes",
}


def ls(
    resource: Annotated[Resource, typer.Argument(help="What to list.")] = Resource.DEPLOYMENTS,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    api = api_of(url, api_key)
    items = sorted(api.items(PATHS[resource]), key=lambda item: item["id"])
    if output is not Output.TABLE:
        show_data(items, output)
    elif not items:
        say(f"There are no {resource}.")
    elif resource is Resource.DEPLOYMENTS:
        _show_deployments(api, items)
    elif resource is Resource.ROUTES:
        models = {one["id"]: one for one in api.items("/v2/models")}
        show_table(ROUTE, [_route(item, models) for item in items])
    else:
        columns, row = TABLES[resource]
        show_table(columns, [row(item) for item in items])


def _show_deployments(api: Api, models: list[Json]) -> None:
    instances = sorted(api.items("/v2/model-instances"), key=lambda item: item["id"])
    rows: list[Row] = []
    for model in models:
        rows.append(
            (
                model["name"],
                f"{model['ready_replicas']}/{model['replicas']}",
                state_of(model),
                location(model),
            )
        )
        rows.extend(
            (f"  {one['name']}", None, one["state"], _where(one))
            for one in instances
            if one["model_id"] == model["id"]
        )
    show_table(("NAME", "READY", "STATE", "SOURCE / WORKER"), rows)


def state_of(model: Json) -> str:
    if model["replicas"] == 0:
        return "stopped"
    if model["ready_replicas"] >= model["replicas"]:
        return "ready"
    return "partly ready" if model["ready_replicas"] else "not ready"


def location(model: Json) -> str:
    if model["source"] == "local_path":
        return str(model["local_path"])
    parts = ("huggingface_repo_id", "huggingface_filename", "model_scope_model_id", "model_scope_file_path")
    return "/".join(model[part] for part in parts if model[part])


def _where(instance: Json) -> str | None:
    return ": ".join(filter(None, (instance["worker_name"], instance["state_message"]))) or None


def _instance(item: Json) -> Row:
    return (
        item["id"],
        item["name"],
        item["model_name"],
        item["state"],
        item["worker_name"],
        item["restart_count"],
        item["state_message"],
    )


def _worker(item: Json) -> Row:
    status = item["status"]
    return (
        item["id"],
        item["name"],
        item["state"],
        status["cpu"]["total"],
        size_text(status["memory"]["total"]),
        len(status["gpu_devices"]),
        ", ".join(f"{key}={value}" for key, value in item["labels"].items()),
        item["state_message"],
    )


def _route(item: Json, models: Mapping[int, Json]) -> Row:
    targets = ", ".join(_target(target, models) for target in item["route_targets"])
    ready = f"{item['ready_targets']}/{item['targets']}"
    return (item["id"], item["name"], ready, "yes" if item["generic_proxy"] else "no", targets)


def _target(target: Json, models: Mapping[int, Json]) -> str:
    model = models.get(target["model_id"])
    if model is None:
        return str(target["model_name"] or target["provider_name"])
    return f"{model['name']} ({model['ready_replicas']} of {model['replicas']} instances)"


ROUTE = ("ID", "NAME", "READY TARGETS", "GENERIC PROXY", "TARGETS")
TABLES: dict[Resource, tuple[Sequence[str], Callable[[Json], Row]]] = {
    Resource.INSTANCES: (("ID", "NAME", "DEPLOYMENT", "STATE", "WORKER", "RESTARTS", "MESSAGE"), _instance),
    Resource.WORKERS: (("ID", "NAME", "STATE", "CPUS", "MEMORY", "GPUS", "LABELS", "MESSAGE"), _worker),
}
