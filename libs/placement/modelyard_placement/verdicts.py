"""What is to be said of workers and devices that an instance might go to, and how it is said of many: what is
the same of them once, and none is missing."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from modelyard_contracts.deployments import Alike, Members

from modelyard_placement.filters import CHECKS

MOST_GROUPS = 64
"""With more different ones, those of a check are told together, with the least and the most."""

Amount = int | str | None
Parts = tuple[tuple[str, float], ...]


class Verdict(NamedTuple):
    check: str | None
    """None: nothing stands against it."""
    needed: Amount = None
    available: Amount = None
    score: float | None = None
    parts: Parts = ()


class Row(NamedTuple):
    """Of some devices of a worker, or of the worker where it names none."""

    devices: tuple[str, ...]
    verdict: Verdict


Rows = tuple[Row, ...]


Membership = dict[tuple[str, ...], list[int]]


def alike(
    rows_of: Mapping[int, Rows], *, by_device: bool = True, most_groups: int | None = MOST_GROUPS
) -> tuple[Alike, ...]:
    """Every worker of `rows_of`, by id. Not `by_device`, each is told of once: by its score, else by what
    comes closest there. `most_groups` None: however many."""
    # rooms that are alike share one value, whose identity is cheaper to look at than its content
    together: dict[int, tuple[Rows, list[int]]] = {}
    for ident, rows in rows_of.items():
        together.setdefault(id(rows), (rows, []))[1].append(ident)
    groups: dict[Verdict, Membership] = {}
    for rows, idents in together.values():
        for row in rows if by_device else (Row((), _closest(rows)),):
            groups.setdefault(row.verdict, {}).setdefault(row.devices, []).extend(idents)
    if most_groups is None or len(groups) <= most_groups:
        return tuple(_exact(verdict, members) for verdict, members in groups.items())
    return tuple(_ranged(groups))


def _closest(rows: Rows) -> Verdict:
    fitting = [row.verdict for row in rows if row.verdict.score is not None]
    obstacles = [row.verdict for row in rows if row.verdict.check is not None]
    return fitting[0] if fitting else max(obstacles, key=_closeness)


def _closeness(verdict: Verdict) -> tuple[int, int]:
    needed, available = verdict.needed, verdict.available
    short = needed - available if isinstance(needed, int) and isinstance(available, int) else 0
    return CHECKS.index(verdict.check or ""), -short


def _exact(verdict: Verdict, members: Membership) -> Alike:
    return Alike(
        check=verdict.check,
        needed=verdict.needed,
        available=verdict.available,
        score=verdict.score,
        parts=dict(verdict.parts),
        members=_members(members),
    )


def _ranged(groups: dict[Verdict, Membership]) -> Iterable[Alike]:
    """Those of one check that need the same, whatever they have."""
    kinds: dict[tuple[str | None, Amount, bool], list[Verdict]] = {}
    for verdict in groups:
        kinds.setdefault((verdict.check, verdict.needed, verdict.score is None), []).append(verdict)
    for (check, needed, _), verdicts in kinds.items():
        members: Membership = {}
        for verdict in verdicts:
            for devices, idents in groups[verdict].items():
                members.setdefault(devices, []).extend(idents)
        amounts = [one.available for one in verdicts if isinstance(one.available, int)]
        scores = [one.score for one in verdicts if one.score is not None]
        yield Alike(
            check=check,
            needed=needed,
            available=min(amounts, default=None),
            available_most=max(amounts, default=None),
            score=min(scores, default=None),
            score_most=max(scores, default=None),
            members=_members(members),
        )


def _members(members: Membership) -> tuple[Members, ...]:
    return tuple(Members(devices=devices, workers=runs_of(idents)) for devices, idents in members.items())


def runs_of(idents: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """First and last of each unbroken run of ids."""
    found: list[tuple[int, int]] = []
    for ident in sorted(idents):
        if found and found[-1][1] == ident - 1:
            found[-1] = found[-1][0], ident
        else:
            found.append((ident, ident))
    return tuple(found)
