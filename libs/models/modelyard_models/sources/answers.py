"""What is accepted of a hub's answer, whichever client got it."""

from collections.abc import Mapping

from modelyard_models.sources.errors import BadAnswer, Limited, SourceError, Unreachable

MOST_ANSWER_BYTES = 32 << 20
LONGEST_PAUSE_S = 3600.0


def refuse_status(status: int, headers: Mapping[str, str]) -> None:
    """Raises `Limited` or `Unreachable` for what is no fault of the question."""
    if status == 429:
        pause_s = pause_of(headers)
        again = "later" if pause_s is None else f"in {pause_s:g} s"
        raise Limited(f"it takes no more requests for now (429): try again {again}", pause_s)
    if status >= 500:
        raise Unreachable(f"it answers with status {status}: try again later")


def pause_of(headers: Mapping[str, str]) -> float | None:
    """Seconds, as `Retry-After` says; a date counts as not said."""
    said = headers.get("Retry-After", "")
    return min(float(said), LONGEST_PAUSE_S) if said.isdecimal() else None


def refuse_compressed(headers: Mapping[str, str]) -> None:
    """What unpacks to a thousand times its size is not bounded by counting what comes. Raises `BadAnswer`."""
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise BadAnswer(f"its answer is compressed ({encoding}) though that was not asked for")


def too_large() -> SourceError:
    return BadAnswer(f"its answer is larger than {MOST_ANSWER_BYTES >> 20} MiB")
