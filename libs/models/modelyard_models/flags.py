"""A backend's arguments as numbers and names. Every complaint names the flag."""

import json
from collections.abc import Sequence
from typing import Any

from modelyard_contracts.parameters import BadParameters, value_of

THOUSANDS = {"k": 1000, "m": 1000**2, "g": 1000**3, "K": 1024, "M": 1024**2, "G": 1024**3}


class Flags:
    """Reads flags out of arguments as `split_parameters` gives them."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments

    def text(self, *names: str) -> str | None:
        value = value_of(self._arguments, *names)
        if value == "":
            raise BadParameters(f"{names[0]}: it needs a value")
        return value

    def has(self, *names: str) -> bool:
        """Whether a switch is on: `--flag` without a value, or one that says so."""
        value = value_of(self._arguments, *names)
        return value is not None and value.lower() not in ("false", "0", "no", "off")

    def whole(self, *names: str, least: int = 1) -> int | None:
        """A whole number; `8k` is 8,000 and `8K` is 8,192, as vLLM reads them."""
        value = self.text(*names)
        if value is None:
            return None
        number, unit = (value[:-1], value[-1]) if value[-1] in THOUSANDS else (value, "")
        try:
            found = int(float(number) * THOUSANDS[unit]) if unit else int(number)
        except (ValueError, OverflowError):
            raise BadParameters(f"{names[0]}: {value!r} is no whole number") from None
        if not least <= found <= 1 << 50:
            raise BadParameters(f"{names[0]}: {value} must be at least {least}")
        return found

    def share(self, *names: str) -> float | None:
        """A number above 0 and up to 1."""
        value = self.number(*names)
        if value is not None and not 0 < value <= 1:
            raise BadParameters(f"{names[0]}: {value:g} must be above 0 and at most 1")
        return value

    def number(self, *names: str) -> float | None:
        value = self.text(*names)
        if value is None:
            return None
        try:
            found = float(value)
        except ValueError:
            raise BadParameters(f"{names[0]}: {value!r} is no number") from None
        if not 0 <= found < float("inf"):
            raise BadParameters(f"{names[0]}: {value} must not be negative")
        return found

    def mapping(self, *names: str) -> dict[str, Any]:
        """A JSON object; empty if the flag is not there."""
        value = self.text(*names)
        if value is None:
            return {}
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            raise BadParameters(f"{names[0]}: {value[:80]!r} is no JSON") from None
        if not isinstance(found, dict):
            raise BadParameters(f"{names[0]}: {value[:80]!r} is no JSON object")
        return found
