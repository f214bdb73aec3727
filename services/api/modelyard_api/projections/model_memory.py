"""How far estimates were from what model servers were found to hold: by model, backend and version."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from modelyard_api.adapters.database import Database
from modelyard_api.projections import instances
from modelyard_api.projections.rows import View

MOST_INSTANCES = 20_000
"""The latest; older ones no longer count."""


async def measurements(db: Database) -> list[View]:
    """Of each instance the last one, removed instances included. Raises `DatabaseUnavailable`."""
    columns = instances.TABLE.c
    measured = columns.view["measured_memory"]
    query = select(measured.label("measured")).where(measured["backend"].astext.is_not(None))
    async with db.asking() as connection:
        rows = await connection.execute(query.order_by(columns.id.desc()).limit(MOST_INSTANCES))
        return [row.measured for row in rows]


def report(measured: Iterable[View]) -> list[View]:
    """Errors in percent of what was measured; under 0: the estimate was too small. A device and the main
    memory count apart, each that was both claimed and measured."""
    groups: dict[tuple[str, str, str], list[View]] = defaultdict(list)
    for one in measured:
        groups[one["model"], one["backend"], one["backend_version"]].append(one)
    return [
        {
            "model": model,
            "backend": backend,
            "backend_version": version,
            "measurements": len(found),
            "vram": _compared(_vram(found)),
            "ram": _compared([(one["claim"]["ram"], one["ram"]) for one in found]),
        }
        for (model, backend, version), found in sorted(groups.items())
    ]


def _vram(found: Iterable[View]) -> list[tuple[int | None, int | None]]:
    return [(one["claim"]["vram"].get(device), held) for one in found for device, held in one["vram"].items()]


def _compared(pairs: Iterable[tuple[int | None, int | None]]) -> dict[str, Any] | None:
    """Means, in bytes, of what was estimated and measured; None if nothing can be compared."""
    known = [(estimated, held) for estimated, held in pairs if estimated and held]
    if not known:
        return None
    errors = [100 * (estimated - held) / held for estimated, held in known]
    return {
        "estimated": sum(estimated for estimated, _ in known) // len(known),
        "measured": sum(held for _, held in known) // len(known),
        "mean_error_percent": round(sum(map(abs, errors)) / len(errors), 2),
        "worst_under_percent": round(min(0.0, *errors), 2),
        "worst_over_percent": round(max(0.0, *errors), 2),
    }
