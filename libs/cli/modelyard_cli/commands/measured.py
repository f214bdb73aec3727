"""How good the estimates of memory were."""

from modelyard_cli.client import Json
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, say, show_data, show_table, size_text

COLUMNS = (
    "MODEL",
    "BACKEND",
    "VERSION",
    "TIMES",
    "MEMORY",
    "ESTIMATED",
    "MEASURED",
    "ERROR",
    "UNDER",
    "OVER",
)


def measured(url: Url = None, api_key: ApiKey = None, output: Format = Output.TABLE) -> None:
    found = api_of(url, api_key).items("/v2/model-memory")
    if output is not Output.TABLE:
        show_data(found, output)
    elif not found:
        say("No instance has served for long enough to be measured.")
    else:
        show_table(COLUMNS, [row for one in found for row in _rows(one)])


def _rows(one: Json) -> list[tuple[object, ...]]:
    """Of each memory that was compared; one without figures if none was."""
    who = (one["model"], one["backend"], one["backend_version"], one["measurements"])
    kinds = [kind for kind in ("vram", "ram") if one[kind]]
    return [(*who, kind, *_figures(one[kind])) for kind in kinds] or [(*who, *([None] * 6))]


def _figures(compared: Json) -> tuple[object, ...]:
    percents = ("mean_error_percent", "worst_under_percent", "worst_over_percent")
    return (
        size_text(compared["estimated"]),
        size_text(compared["measured"]),
        *(f"{compared[name]:.1f} %" for name in percents),
    )
