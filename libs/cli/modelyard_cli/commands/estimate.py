"""How much memory a model takes, before anything is downloaded."""

import math
from pathlib import Path
from typing import Annotated

import typer
from modelyard_contracts.deployments import Backend, ExtendedKVCache, Source
from modelyard_contracts.models import ModelFacts
from modelyard_contracts.parameters import BadParameters, split_parameters
from modelyard_models.backends import default_backend
from modelyard_models.beside import Beside
from modelyard_models.estimate import UnknownBackend
from modelyard_models.estimate import estimate as estimate_need
from modelyard_models.need import MemoryNeed

from modelyard_cli.errors import UsageError
from modelyard_cli.gpus import layout_of
from modelyard_cli.memory_need import as_json, show_need
from modelyard_cli.model_facts import facts_of_config, facts_of_model, facts_that_fit
from modelyard_cli.options import Format
from modelyard_cli.output import Output, show_data

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
    lora: Annotated[
        list[str] | None,
        typer.Option("--lora", help="An adapter beside it, named as the model is; repeatable."),
    ] = None,
    draft_model: Annotated[
        str | None,
        typer.Option("--draft-model", help="Of speculative decoding, named as the model is."),
    ] = None,
    kv_cache_ram_gib: Annotated[
        int | None,
        typer.Option("--kv-cache-ram-gib", min=1, help="Main memory of an extended KV cache, per worker."),
    ] = None,
    kv_cache_ram_ratio: Annotated[
        float | None,
        typer.Option("--kv-cache-ram-ratio", help="The same, as a multiple of the memory of its devices."),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    layout = layout_of(gpus or ["cpu"])
    beside = Beside(
        adapters=tuple(facts_of_model(one, source) for one in lora or ()),
        draft=facts_of_model(draft_model, source) if draft_model else None,
        extended_kv_cache=_extended(kv_cache_ram_gib, kv_cache_ram_ratio),
    )

    def need_of(facts: ModelFacts) -> MemoryNeed:
        kinds = {device.type for device in layout.devices()}
        chosen = _backend(backend) if backend else default_backend(facts.format, facts.category, kinds)
        return estimate_need(facts, chosen, backend_version, split_parameters(param or []), layout, beside)

    try:
        if config is not None:
            facts, why = facts_of_config(config, weight_bytes), None
        elif model is not None:
            facts, why = facts_that_fit(model, source, revision, lambda one: need_of(one).fits)
        else:
            raise UsageError("Which model?", hint="Give a repository, a path, or --config FILE.")
        need = need_of(facts)
    except (BadParameters, UnknownBackend) as error:
        raise UsageError(f"{error}.") from error
    if output is not Output.TABLE:
        show_data({**as_json(need), "model_file": facts.file, "model_file_reason": why}, output)
    else:
        show_need(facts, need, layout, why)
    if not need.fits:
        raise typer.Exit(DOES_NOT_FIT)


def _extended(size_gib: int | None, ratio: float | None) -> ExtendedKVCache | None:
    """Raises `UsageError`."""
    if size_gib is None and ratio is None:
        return None
    if ratio is not None and not 0 < ratio < math.inf:
        raise UsageError(f"--kv-cache-ram-ratio: {ratio:g} is not above 0.")
    return ExtendedKVCache(enabled=True, ram_size=size_gib, **({"ram_ratio": ratio} if ratio else {}))


def _backend(name: str) -> str:
    """The built-in backend whatever its case, else as it is written."""
    return next((one.value for one in Backend if one.value.lower() == name.lower()), name)
