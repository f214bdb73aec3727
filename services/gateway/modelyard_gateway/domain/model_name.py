"""Finds the `model` that a JSON body asks for."""

import json
import re

from modelyard_gateway.domain.refusals import bad_request, missing_model

SPACE = re.compile(r"[ \t\r\n]*")


def model_of(body: bytes) -> str:
    """The `model` of a whole JSON object. Raises `Refusal` (400) where it has none."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The request body is not valid JSON: {error}", "invalid_json") from error
    if not isinstance(parsed, dict):
        raise bad_request("The request body must be a JSON object.", "invalid_json")
    if "model" not in parsed:
        raise missing_model("The request body has no 'model'.")
    model = parsed["model"]
    if not isinstance(model, str) or not model:
        raise missing_model("'model' must be the name of a model, as a string.")
    return model


def model_in_beginning(beginning: bytes) -> str | None:
    """The `model` of a JSON object of which only the beginning is at hand, if it is in there."""
    text = beginning.decode(errors="replace")
    decoder = json.JSONDecoder()
    at = _skip(text, 0, "{")
    try:
        while at is not None:
            key, end = decoder.raw_decode(text, _space(text, at))
            at = _skip(text, end, ":")
            if at is None:
                return None
            value, end = decoder.raw_decode(text, _space(text, at))
            if key == "model":
                return value if isinstance(value, str) and value else None
            at = _skip(text, end, ",")
    except (ValueError, RecursionError):
        return None
    return None


def _space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at


def _skip(text: str, at: int, wanted: str) -> int | None:
    """The place behind `wanted`, or None if something else (or nothing) stands there."""
    at = _space(text, at)
    return at + 1 if text.startswith(wanted, at) else None
