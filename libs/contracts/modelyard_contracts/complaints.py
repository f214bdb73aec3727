"""What pydantic finds wrong, in words for the person who wrote it."""

from collections.abc import Mapping
from typing import Any

WORDS = (
    ("Value error, ", ""),
    ("Input should be ", "must be "),
    ("Field required", "is missing"),
    ("a valid dictionary or object to extract fields from", "an object"),
    ("a valid dictionary", "an object"),
    ("a valid integer", "a whole number"),
    ("a valid tuple", "a list"),
    ("a valid ", "a "),
    (", unable to parse string as an integer", ""),
    (", unable to parse string as a number", ""),
    (", unable to interpret input", ""),
)


def about(field: str, error: Mapping[str, Any]) -> str:
    """As in `name: is missing`; without the name where the error is of the whole."""
    return f"{field}: {complaint(error)}" if field else complaint(error)


def complaint(error: Mapping[str, Any]) -> str:
    """Of one of `ValidationError.errors()`, without its field: as in `must be a whole number`."""
    if error["type"] == "extra_forbidden":
        return "is not a field that can be set here"
    message = str(error["msg"])
    for said, better in WORDS:
        message = message.replace(said, better)
    return message
