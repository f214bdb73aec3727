"""How much memory a model takes, before anything is downloaded."""

from pathlib import Path
from typing import Annotated, Any

import typer
from modelyard_contracts.deployments import Backend
from modelyard_contracts.models import ModelFacts
from modelyard_contracts.parameters import BadParameters, split_parameters
from modelyard_models.estimate import UnknownBackend
from modelyard_models.estimate import estimate as estimate_need
from modelyard_models.layout import Layout
from modelyard_models.need import DeviceNeed, HostNeed, MemoryNeed

from modelyard_cli.errors import UsageError
from modelyard_cli.gpus import layout_of
from modelyard_cli.local_model import facts_of_config, facts_of_path
from modelyard_cli.options import Format
from modelyard_cli.output import Output, say, show_json, show_table

DOES_NOT_FIT = 3


def estimate(
    model: Annotated[str | None, typer.Argument(help="A directory with a model.", show_default=False)] = None,
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
    output: Format = Output.TABLE,
) -> None:
    """Show how much memory a model takes, part by part; exit status 0 if it fits, 3 if it does not."""
    facts = _facts(model, config, weight_bytes)
    layout = layout_of(gpus or ["cpu"])
    chosen = _backend(backend) if backend else Backend.VLLM
    try:
        need = estimate_need(facts, chosen, backend_version, split_parameters(param or []), layout)
    except (BadParameters, UnknownBackend) as error:
        raise UsageError(f"{error}.") from error
    if output is Output.JSON:
        show_json(as_json(need))
    else:
        _show(facts, need, layout)
    if not need.fits:
        raise typer.Exit(DOES_NOT_FIT)


def _facts(model: str | None, config: Path | None, weight_bytes: int) -> ModelFacts:
    if config is not None:
        return facts_of_config(config, weight_bytes)
    if model is None:
        raise UsageError("Which model?", hint="Give a directory, or --config FILE.")
    return facts_of_path(Path(model))


def _backend(name: str) -> str:
    """The built-in backend whatever its case, else as it is written."""
    return next((one.value for one in Backend if one.value.lower() == name.lower()), name)


def as_json(need: MemoryNeed) -> dict[str, Any]:
    """With the sums, which are worked out from the parts."""
    whole = need.model_dump(mode="json")
    for shown, device in zip(whole["devices"], need.devices, strict=True):
        shown["needed_bytes"] = device.needed_bytes
    for shown, host in zip(whole["hosts"], need.hosts, strict=True):
        shown["needed_bytes"] = host.needed_bytes
    return whole


def _show(facts: ModelFacts, need: MemoryNeed, layout: Layout) -> None:
    share = f", {need.fraction:g} of each device" if need.fraction else ""
    say(f"{facts.location} with {need.backend} {need.backend_version}{share}")
    say("")
    for first, last in _alike(need.devices):
        name = f"device {first.rank}" if first is last else f"devices {first.rank}-{last.rank}, each"
        _show_parts(name, first)
        memory = layout.devices()[first.rank].memory_bytes
        rows = [("needed", gib(first.needed_bytes)), ("will be taken", gib(first.claim_bytes))]
        if first.beside_bytes:
            rows.append(("taken beside that", gib(first.beside_bytes)))
        show_table(("TOTAL", ""), [*rows, ("memory", gib(memory))])
        say("")
    for host in need.hosts:
        _show_parts(f"main memory of worker {host.worker}", host)
        say("")
    show_table(("", ""), [row for row in _summary(need) if row[1] is not None])
    for note in need.notes:
        say(f"- {note}")


def _alike(devices: tuple[DeviceNeed, ...]) -> list[tuple[DeviceNeed, DeviceNeed]]:
    """Runs of devices that need the same: the first and the last of each."""
    runs: list[tuple[DeviceNeed, DeviceNeed]] = []
    for device in devices:
        if runs and runs[-1][0].parts == device.parts and runs[-1][0].claim_bytes == device.claim_bytes:
            runs[-1] = (runs[-1][0], device)
        else:
            runs.append((device, device))
    return runs


def _show_parts(title: str, need: DeviceNeed | HostNeed) -> None:
    rows = [(part.name, gib(part.bytes), part.note) for part in need.parts]
    if need.margin_bytes:
        rows.append(("margin", gib(need.margin_bytes), "for what an estimate may miss"))
    show_table((title.upper(), "", ""), rows)


def _summary(need: MemoryNeed) -> list[tuple[str, object]]:
    return [
        ("fits", "yes" if need.fits else "no"),
        ("confidence", need.confidence.value),
        ("context", f"{need.context_tokens} tokens" if need.context_tokens else None),
        ("KV cache of a token", f"{need.kv_bytes_per_token:,.0f} bytes" if need.kv_bytes_per_token else None),
        ("largest context that fits", need.largest_context),
        ("tokens of cache that fit", need.cache_tokens),
        ("sequences at once", need.concurrency),
        (
            "layers on devices",
            None if need.offloaded_layers is None else f"{need.offloaded_layers} of {need.total_layers}",
        ),
    ]


def gib(size: int) -> str:
    return f"{size / 1024**3:.2f} GiB"
