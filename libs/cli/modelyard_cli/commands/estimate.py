"""How much memory a model takes, before anything is downloaded."""

from pathlib import Path
from typing import Annotated

import typer
from modelyard_contracts.deployments import Backend, Source
from modelyard_contracts.parameters import BadParameters, split_parameters
from modelyard_models.backends import default_backend
from modelyard_models.estimate import UnknownBackend
from modelyard_models.estimate import estimate as estimate_need

from modelyard_cli.errors import UsageError
from modelyard_cli.gpus import layout_of
from modelyard_cli.memory_need import as_json, show_need
from modelyard_cli.model_facts import facts_of_config, facts_of_model
from modelyard_cli.options import Format
from modelyard_cli.output import Output, show_json

DOES_NOT_FIT = 3


def estimate(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[REPO_OR_PATH]",
            help="A repository, as in org/name or org/name/file.gguf, or a directory or GGUF file here.",
            show_default=False,
        ),
    ] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", help="vLLM, SGLang, ...; what suits the model if not given.")
    ] = None,
    backend_version: Annotated[
        str | None, typer.Option("--backend-version", help="As in 0.19.0; the newest known if not given.")
    ] = None,
    gpus: Annotated[
        list[str] | None,
        typer.Option("--gpus", help="As in 2xH100, 80GiB, 4xcuda:24GiB or cpu; once for each worker."),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="A backend parameter, as in --max-model-len=32768; repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A config.json, in place of a model.", show_default=False)
    ] = None,
    weight_bytes: Annotated[
        int, typer.Option("--weight-bytes", min=0, help="Bytes of the weights' files, with --config.")
    ] = 0,
    source: Annotated[
        Source, typer.Option("--source", help="The hub of the repository.")
    ] = Source.HUGGINGFACE,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Of the repository.", show_default=False)
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Show how much memory a model takes, part by part; exit status 0 if it fits, 3 if it does not."""
    layout = layout_of(gpus or ["cpu"])
    if config is not None:
        facts = facts_of_config(config, weight_bytes)
    elif model is not None:
        facts = facts_of_model(model, source, revision)
    else:
        raise UsageError("Which model?", hint="Give a repository, a path, or --config FILE.")
    kinds = {device.type for device in layout.devices()}
    chosen = _backend(backend) if backend else default_backend(facts.format, facts.category, kinds)
    try:
        need = estimate_need(facts, chosen, backend_version, split_parameters(param or []), layout)
    except (BadParameters, UnknownBackend) as error:
        raise UsageError(f"{error}.") from error
    if output is Output.JSON:
        show_json(as_json(need))
    else:
        show_need(facts, need, layout)
    if not need.fits:
        raise typer.Exit(DOES_NOT_FIT)


def _backend(name: str) -> str:
    """The built-in backend whatever its case, else as it is written."""
    return next((one.value for one in Backend if one.value.lower() == name.lower()), name)
