"""Coefficients that belong to a backend's version: data files, one for each backend."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any


def coefficients(backend: str, version: str | None) -> tuple[str, dict[str, Any]]:
    """The version that they are for, and what `data/<backend>.json` says of it.

    Every entry overrides the older ones from its version on. None, and what is no version at all: the newest.
    """
    entries = _entries(backend)
    wanted = ordinal(version) if version else None
    found: dict[str, Any] = {}
    for entry in entries:
        since = ordinal(entry["since"])
        if wanted is None or since is None or since <= wanted:
            found.update(entry)
    newest = entries[-1]["since"]
    return version or ("any version" if newest == "0" else f"{newest} (newest known)"), found


def ordinal(version: str) -> tuple[int, ...] | None:
    """`v0.19.0rc1+cu129` is (0, 19, 0); None if no number is in it."""
    match = re.search(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else None


@cache
def _entries(backend: str) -> list[dict[str, Any]]:
    text = files("modelyard_models").joinpath(f"data/{backend}.json").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = json.loads(text)["versions"]
    return entries
