"""One deployment, for a person who wants to know how it stands."""

from collections.abc import Iterator
from typing import Annotated

import typer

from modelyard_cli import deployments
from modelyard_cli.client import Json
from modelyard_cli.commands.listing import location, state_of
from modelyard_cli.config import gateway_beside
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, say, show_data, show_table, size_text, table

ENDPOINTS = {
    "llm": "/v1/chat/completions",
    "embedding": "/v1/embeddings",
    "reranker": "/v1/rerank",
    "image": "/v1/images/generations",
    "speech_to_text": "/v1/audio/transcriptions",
    "text_to_speech": "/v1/audio/speech",
}
WHERE_IT_MAY_RUN = ("worker_selector", "worker_selector_expressions", "gpu_selector")


def show(
    name: Annotated[str, typer.Argument(help="Name of the deployment.")],
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    api = api_of(url, api_key)
    model = deployments.find(api, name)
    instances = deployments.instances_of(api, model["id"])
    if output is not Output.TABLE:
        show_data({**model, "instances": instances}, output)
        return
    routes = [
        route
        for route in api.items("/v2/model-routes")
        if any(target["model_id"] == model["id"] for target in route["route_targets"])
    ]
    say(f"{name}: {state_of(model)}, {model['ready_replicas']} of {model['replicas']} instances run")
    for line in table(
        ("", ""), [*_given(model, instances), *_called(model, routes, gateway_beside(api.url))]
    )[1:]:
        say(f"  {line}")
    if instances:
        say("")
        columns = ("INSTANCE", "STATE", "WORKER", "TAKES", "RESTARTS", "MESSAGE")
        show_table(columns, [_instance(one) for one in instances])
    say("")
    say(f"More: modelyard logs {name}, modelyard explain {name}, modelyard show {name} -o yaml,")
    say(f"      modelyard events --subject deployment/{model['id']}")


def _given(model: Json, instances: list[Json]) -> Iterator[tuple[str, object]]:
    if model["description"]:
        yield "description", model["description"]
    yield "source", location(model)
    if model["model_file"]:
        yield "file", f"{model['model_file']} ({model['model_file_reason']})"
    if model["meta"]:
        yield "model", ", ".join(_facts(model))
    versions = sorted({one["backend_version"] for one in instances if one["backend_version"]})
    yield "backend", " ".join([model["backend"], *versions])
    for parameter in model["backend_parameters"]:
        yield "parameter", f"{parameter}  (set by its deployment)"
    added = [" ".join(one["injected_backend_parameters"]) for one in instances]
    for parameters in dict.fromkeys(filter(None, added)):
        names = [one["name"] for one, its in zip(instances, added, strict=True) if its == parameters]
        whose = "" if len(names) == len(instances) else f" to {', '.join(names)}"
        yield "parameter", f"{parameters}  (added by Modelyard{whose})"
    for variable in model["env"]:
        yield "environment", f"{variable}  (set by its deployment)"
    for field in WHERE_IT_MAY_RUN:
        if model[field]:
            yield field.replace("_", " "), model[field]
    yield "placement", model["placement_strategy"] + ("" if model["restart_on_error"] else ", no restarts")


def _facts(model: Json) -> Iterator[str]:
    meta = model["meta"]
    yield from meta.get("architectures", ())
    if "parameters" in meta:
        yield f"{meta['parameters'] / 1e6:,.1f} M parameters"
    if "quantization" in meta:
        yield meta["quantization"]
    yield size_text(meta["size"])
    if "n_ctx" in meta:
        yield f"context of {meta['n_ctx']} tokens"


def _called(model: Json, routes: list[Json], gateway: str | None) -> Iterator[tuple[str, object]]:
    """Where and by which names; what it is good for decides on the path."""
    path = next((ENDPOINTS[one] for one in model["categories"] if one in ENDPOINTS), "/v1/...")
    if not routes:
        yield "call it", "no route leads here"
        return
    names = " or ".join(f'"model": "{route["name"]}"' for route in routes)
    yield "call it", f"POST {gateway or 'the gateway:'}{path} with {names}"
    for route in routes:
        if route["generic_proxy"]:
            yield "any path", f"{gateway or 'the gateway:'}/model/proxy/{route['id']}/..."


def _instance(one: Json) -> tuple[object, ...]:
    group = (one["distributed_servers"] or {}).get("subordinate_workers", [])
    workers = [one["worker_name"], *(member["worker_name"] for member in group)]
    return (
        one["name"],
        one["state"],
        " + ".join(filter(None, workers)),
        _takes(one),
        one["restart_count"],
        " ".join((one["state_message"] or "").split("\n")),
    )


def _takes(instance: Json) -> str | None:
    """Of its first worker."""
    claim = instance["computed_resource_claim"]
    if claim is None:
        return None
    kind = instance["gpu_type"]
    devices = [f"{kind}:{index} {size_text(size)}" for index, size in sorted(claim["vram"].items())]
    return ", ".join([*devices, f"RAM {size_text(claim['ram'])}"])
