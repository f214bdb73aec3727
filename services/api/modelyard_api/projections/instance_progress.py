"""What telemetry tells right now of instances that do not run yet."""

from modelyard_contracts.telemetry import Telemetry

from modelyard_api.projections.model_files import downloads_of, progress_of
from modelyard_api.projections.rows import View

WAITING = frozenset({"scheduled", "downloading", "error"})
"""States of an instance whose start has not begun; telemetry may be older than the state."""


def on_its_way(view: View, telemetry: Telemetry | None) -> View:
    """The instance's view, with how far the downloads are of its model and what runs along with it, or how
    many others its worker starts first."""
    if telemetry is None:
        return view
    if view["id"] in telemetry.waiting and view["state"] in WAITING:
        return {**view, "state_message": _waits(view, telemetry)}
    found = downloads_of([view["source_index"], *view["companion_source_indexes"]], telemetry)
    if view["state"] != "downloading" or not found:
        return view
    return {**view, "download_progress": progress_of(found)}


def _waits(view: View, telemetry: Telemetry) -> str:
    """Beside why it has to be started again."""
    before = telemetry.starting + telemetry.waiting.index(view["id"])
    waits = f"waiting for {before} {'other' if before == 1 else 'others'} to start"
    return f"{view['state_message']}; {waits}" if view["state"] == "error" else waits
