"""How figures are printed: a value, its unit, and its ratio to the baseline of the same run."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    what: str
    value: float
    unit: str
    ratio: float | None = None
    target: str = ""


def quantile(values: Sequence[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def print_figures(title: str, figures: Sequence[Figure]) -> None:
    print(f"\n{title}")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:7.2f}x"
        print(f"  {figure.what:<58} {figure.value:12,.2f} {figure.unit:<9} {ratio:>9}  {figure.target}")


def print_table(title: str, figures: Sequence[Figure], baseline: str) -> None:
    """As Markdown."""
    print(f"\n| {title} | | {baseline} |\n|---|---:|---:|")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}x"
        print(f"| {figure.what} | {figure.value:,.1f} {figure.unit} | {ratio} |")
