"""What fits where, before anything is deployed: no services needed."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from modelyard_contracts.deployments import PlacementStrategy
from modelyard_contracts.models import ModelCoordinates, ModelFacts
from modelyard_placement.claims import Sizer
from modelyard_placement.cluster import BadInput, Cluster, read_cluster
from modelyard_placement.demand import Demand
from modelyard_placement.figures import Figures
from modelyard_placement.place import Placement
from modelyard_placement.report import simulation_view
from modelyard_placement.simulation import Fate, Outcome, Simulation
from modelyard_placement.simulation import simulate as run_simulation
from modelyard_placement.workload import read_workload

from modelyard_cli.errors import UsageError
from modelyard_cli.model_facts import facts_at
from modelyard_cli.options import Format
from modelyard_cli.output import Output, note, say, show_data, show_table, size_text

NOT_ALL_FIT = 3


def simulate(
    cluster: Annotated[Path, typer.Option(help='JSON file: {"workers": [...], "instances": [...]}.')],
    workload: Annotated[Path, typer.Option(help='JSON file: {"deployments": [...]}.')],
    drain: Annotated[list[str] | None, typer.Option(help="A worker to drain; may be repeated.")] = None,
    lose: Annotated[list[str] | None, typer.Option(help="A worker to lose; may be repeated.")] = None,
    policy: Annotated[
        PlacementStrategy | None,
        typer.Option(help="Place everything by this strategy, and compare with what was asked."),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    fates: dict[str, Fate] = {**dict.fromkeys(drain or (), "drained"), **dict.fromkeys(lose or (), "lost")}
    there = _cluster(cluster)
    demands = _workload(workload)
    note(f"Placing {sum(one.replicas for one in demands)} instances on {len(there.workers)} workers ...")
    sizer = Sizer()
    try:
        result = run_simulation(there, demands, fates, sizer, policy)
        asked = run_simulation(there, demands, fates, sizer) if policy else None
    except BadInput as error:
        raise UsageError(f"{cluster}: {error}") from error
    if output is not Output.TABLE:
        view = simulation_view(result)
        if asked:
            view["figures"]["as_asked"] = simulation_view(asked)["figures"]["after"]
        show_data(view, output)
    else:
        _show(result, asked)
    if not result.all_fit:
        raise typer.Exit(NOT_ALL_FIT)


def _cluster(path: Path) -> Cluster:
    try:
        return read_cluster(_json(path))
    except BadInput as error:
        raise UsageError(_at(path, error)) from error


def _workload(path: Path) -> list[Demand]:
    try:
        return read_workload(_json(path), _read_source)
    except BadInput as error:
        raise UsageError(_at(path, error)) from error


def _read_source(coordinates: ModelCoordinates) -> ModelFacts | None:
    note(f"Reading {coordinates.location()} at its source ...")
    try:
        return facts_at(coordinates)
    except UsageError as error:
        hint = 'or say {"config": {...}, "weight_bytes": N}'
        raise BadInput(f"metadata: is not given, and the source says: {error.message} ({hint})") from error


def _at(path: Path, error: BadInput) -> str:
    return "\n".join(f"{path}: {line}" for line in str(error).splitlines())


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: is not valid JSON: {error}") from error


def _show(result: Simulation, asked: Simulation | None) -> None:
    show_table(
        ("INSTANCE", "FROM", "WORKER", "DEVICES", "VRAM", "RAM", "HOW", "SCORE"),
        [_row(outcome) for outcome in result.outcomes],
    )
    for outcome in result.outcomes:
        if not isinstance(outcome.result, Placement):
            say(f"\n{outcome.instance}: {outcome.result.message()}")
    say("")
    columns = [("before", result.before), ("after", result.after)]
    if asked:
        columns.append(("as asked", asked.after))
    show_table(("", *(name.upper() for name, _ in columns)), _figures([figures for _, figures in columns]))


def _row(outcome: Outcome) -> tuple[object, ...]:
    result = outcome.result
    if not isinstance(result, Placement):
        return outcome.instance, outcome.moved_from, "does not fit", None, None, None, None, None
    vram = sum(result.claim.vram_bytes.values())
    workers = [result.worker.name, *(part.worker_name for part in result.subordinates)]
    score = f"{result.best[0].score:.2f}" if result.best else None
    return (
        outcome.instance,
        outcome.moved_from,
        " + ".join(workers),
        ", ".join(result.claim.devices()),
        size_text(vram) if vram else None,
        size_text(result.claim.ram_bytes),
        result.strategy.replace("_", " "),
        score,
    )


def _figures(columns: list[Figures]) -> list[tuple[object, ...]]:
    return [
        ("VRAM in use", *(f"{one.vram_utilization:.1%}" for one in columns)),
        ("RAM in use", *(f"{one.ram_utilization:.1%}" for one in columns)),
        ("free VRAM in fragments", *(f"{one.fragmentation:.1%}" for one in columns)),
        ("idle devices", *(f"{one.idle_devices} of {one.devices}" for one in columns)),
        ("idle workers", *(one.idle_workers for one in columns)),
    ]
