"""What every worker and device is to a demand, packed so that an event can hold it for thousands of them.

A page is of the workers of `IDS` successive ids, so that one that changed makes one page anew: JSON,
deflated, in Base64. It holds `[unit, [[told, id, ...], ...]]`, with the ids of all workers that the same is
told of (an unbroken run of them as `[first, last]`). `told` is a list: of
`[check, needed, devices, available]` for devices that lack something (for the whole worker where `devices` is
empty), and of `[devices, parts]` for those that do not, whose score is the sum of its parts. `available` is
one value for all of `devices` or a list with one for each; bytes are counted in `unit`, rounded down.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from zlib import Z_FILTERED, compressobj, decompress

from modelyard_placement.verdicts import Amount, Row, Rows, Verdict, runs_of

IDS = 64
FITTING = 2
"""How much is told of devices that lack nothing."""
BYTES = frozenset({"vram", "ram", "disk"})
"""Checks whose numbers are bytes."""


def page_of(worker: int) -> int:
    return worker // IDS


def text(rows: Rows, unit: int) -> str:
    """What is told of one worker."""
    lacking: dict[tuple[str, Amount], tuple[list[str], list[Amount]]] = {}
    fitting: list[object] = []
    for devices, verdict in rows:
        if verdict.check is None:
            fitting.append([devices, dict(verdict.parts)])
            continue
        has = verdict.available
        if unit > 1 and isinstance(has, int) and verdict.check in BYTES:
            has //= unit
        alike = lacking.setdefault((verdict.check, verdict.needed), ([], []))
        alike[0].extend(devices)
        alike[1].extend([has] * (len(devices) or 1))
    told = [
        [check, needed, devices, has if len(set(has)) > 1 else has[0]]
        for (check, needed), (devices, has) in lacking.items()
    ]
    return json.dumps([*told, *fitting], separators=(",", ":"))


def pack(texts: Mapping[int, str], unit: int) -> str:
    """A page of workers, by id in ascending order."""
    together: dict[str, list[int]] = {}
    for ident, told in texts.items():
        together.setdefault(told, []).append(ident)
    content = ",".join(f"[{told},{_runs(idents)}]" for told, idents in together.items())
    # numbers that have little in common are packed better without short matches
    deflating = compressobj(memLevel=9, strategy=Z_FILTERED)
    packed = deflating.compress(f"[{unit},[{content}]]".encode()) + deflating.flush()
    return b64encode(packed).decode()


def _runs(idents: Iterable[int]) -> str:
    runs = (str(first) if first == last else f"[{first},{last}]" for first, last in runs_of(idents))
    return ",".join(runs)


def unpack(pages: Iterable[str]) -> dict[int, Rows]:
    """By worker."""
    found: dict[int, Rows] = {}
    for page in pages:
        unit, content = _content(page)
        for told, *runs in content:
            rows = tuple(row for one in told for row in _rows(unit, one))
            for run in runs:
                first, last = run if isinstance(run, list) else (run, run)
                found.update(dict.fromkeys(range(first, last + 1), rows))
    return dict(sorted(found.items()))


def unit_of(pages: Iterable[str]) -> int:
    return max((int(_content(page)[0]) for page in pages), default=1)


def _content(page: str) -> list[Any]:
    content: list[Any] = json.loads(decompress(b64decode(page)))
    return content


def _rows(unit: int, told: list[Any]) -> Iterable[Row]:
    if len(told) == FITTING:
        devices, parts = told
        score = round(sum(parts.values()), 6) if parts else None
        yield Row(tuple(devices), Verdict(None, score=score, parts=tuple(parts.items())))
        return
    check, needed, devices, has = told
    amounts = has if isinstance(has, list) else [has] * (len(devices) or 1)
    by_amount: dict[Amount, list[str]] = {}
    for place, amount in enumerate(amounts):
        by_amount.setdefault(amount, []).extend(devices[place : place + 1])
    for amount, of_it in by_amount.items():
        has = amount * unit if isinstance(amount, int) and check in BYTES else amount
        yield Row(tuple(of_it), Verdict(check, needed, has))
