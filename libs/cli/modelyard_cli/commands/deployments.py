"""Deploy, change, stop and delete."""

from typing import Annotated, Any

import typer

from modelyard_cli import deployments
from modelyard_cli.errors import CliError, UsageError
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, note, say, show_data

Name = Annotated[str, typer.Argument(help="Name of the deployment.")]
Replicas = Annotated[int, typer.Option(min=0, help="How many instances to run.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return only when its instances run.")]
WaitTimeout = Annotated[float, typer.Option(help="Seconds that --wait waits at most.")]


def deploy(
    source: Annotated[
        str, typer.Argument(help="Path on the workers, or a Hugging Face repository (org/repo).")
    ],
    name: Annotated[str | None, typer.Option(help="Name; made from the source if not given.")] = None,
    replicas: Replicas = 1,
    file: Annotated[str | None, typer.Option(help="File of the repository, such as '*Q4_K_M.gguf'.")] = None,
    description: Annotated[str | None, typer.Option(help="A note for people.")] = None,
    backend_parameter: Annotated[
        list[str] | None,
        typer.Option("--backend-parameter", "-p", help="Argument for the model server; repeat."),
    ] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="NAME=VALUE for it; repeat.")] = None,
    worker_selector: Annotated[
        list[str] | None, typer.Option(help="LABEL=VALUE that a worker must have; repeat.")
    ] = None,
    placement: Annotated[str | None, typer.Option(help="spread or binpack.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="llm, embedding, ...; repeat.")] = None,
    restart_on_error: Annotated[bool, typer.Option(help="Start instances again that fail.")] = True,
    generic_proxy: Annotated[bool, typer.Option(help="Let any path of the model server be called.")] = False,
    wait: Wait = False,
    wait_timeout: WaitTimeout = 600,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    api = api_of(url, api_key)
    optional: dict[str, Any] = {
        "description": description,
        "backend_parameters": backend_parameter,
        "env": deployments.assignments(env or [], "--env") or None,
        "worker_selector": deployments.assignments(worker_selector or [], "--worker-selector") or None,
        "placement_strategy": placement,
        "categories": category,
    }
    body = {
        "name": name or deployments.name_from(source),
        "replicas": replicas,
        "restart_on_error": restart_on_error,
        "generic_proxy": generic_proxy,
        **deployments.source_fields(source, file),
        **{field: value for field, value in optional.items() if value},
    }
    model = api.post("/v2/models", body)
    if output is Output.TABLE:
        say(f"{model['name']} is deployed (id {model['id']}).")
    if wait:
        deployments.wait_until_running(api, model["id"], timeout_s=wait_timeout, tell=note)
        model = api.get(f"/v2/models/{model['id']}")
    if output is not Output.TABLE:
        show_data(model, output)
    elif wait:
        say(f"{model['name']} is running.")
    else:
        note(f"See how it goes with: modelyard ls, modelyard logs {model['name']}")


def stop(name: Name, url: Url = None, api_key: ApiKey = None, output: Format = Output.TABLE) -> None:
    _set_replicas(name, 0, url, api_key, output)


def start(
    name: Name,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="How many instances to run; if not given, as many as before.")
    ] = None,
    wait: Wait = False,
    wait_timeout: WaitTimeout = 600,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    if replicas is None:
        api = api_of(url, api_key)
        replicas = deployments.replicas_before(api, deployments.find(api, name))
    scale(name, replicas, wait, wait_timeout, url, api_key, output)


def scale(
    name: Name,
    replicas: Annotated[int, typer.Argument(min=0, help="How many instances to run.")],
    wait: Wait = False,
    wait_timeout: WaitTimeout = 600,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    ident = _set_replicas(name, replicas, url, api_key, output)
    if wait:
        deployments.wait_until_running(api_of(url, api_key), ident, timeout_s=wait_timeout, tell=note)


def delete(
    name: Annotated[str | None, typer.Argument(help="Name of the deployment.")] = None,
    instance: Annotated[
        str | None, typer.Option(help="Delete this instance only; another one takes its place.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    api = api_of(url, api_key)
    if (name is None) == (instance is None):
        raise UsageError("Give the name of a deployment, or --instance with the name of an instance.")
    if name is not None:
        api.delete(f"/v2/models/{deployments.find(api, name)['id']}")
        say(f"{name} is deleted.")
        return
    found = [one for one in api.items("/v2/model-instances", search=instance) if one["name"] == instance]
    if not found:
        raise CliError(
            f"There is no instance {instance!r}.", hint="'modelyard ls instances' shows those there are."
        )
    api.delete(f"/v2/model-instances/{found[0]['id']}")
    say(f"{instance} is being deleted.")


def _set_replicas(name: str, replicas: int, url: str | None, api_key: str | None, output: Output) -> int:
    api = api_of(url, api_key)
    ident: int = deployments.find(api, name)["id"]
    model = api.put(f"/v2/models/{ident}", {"replicas": replicas})
    if output is not Output.TABLE:
        show_data(model, output)
    else:
        say(f"{name} is stopped." if replicas == 0 else f"{name} runs with {replicas} replica(s).")
    return ident
