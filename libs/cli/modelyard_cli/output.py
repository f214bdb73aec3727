"""Tables for people, JSON or YAML for scripts."""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import typer


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def say(text: str) -> None:
    typer.echo(text)


def note(text: str) -> None:
    """To standard error: what is not the command's result."""
    typer.echo(text, err=True)


def show_data(value: Any, output: Output) -> None:
    """As JSON or YAML."""
    say(as_yaml(value) if output is Output.YAML else json.dumps(value, indent=2, ensure_ascii=False))


def as_yaml(value: Any) -> str:
    import yaml

    plain = json.loads(json.dumps(value))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)).rstrip()


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    for line in table(columns, rows):
        typer.echo(line)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of aligned columns. None is shown as a dash; a text keeps to its first line."""
    cells = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def size_text(size: int) -> str:
    """Of bytes, in GiB; in MiB below one."""
    return f"{size / 1024**3:.1f} GiB" if size >= 1024**3 else f"{size / 1024**2:.1f} MiB"


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    return str(value).splitlines()[0]
