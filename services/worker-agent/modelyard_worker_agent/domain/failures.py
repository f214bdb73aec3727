"""Why a model server ended, in one word and one sentence, from its status and its last lines."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from modelyard_contracts.failures import FailureCause

PATTERNS: tuple[tuple[FailureCause, re.Pattern[str]], ...] = (
    (
        FailureCause.PORT_IN_USE,
        re.compile(r"address already in use|couldn't bind|EADDRINUSE|port is already allocated", re.I),
    ),
    (
        FailureCause.OUT_OF_MEMORY,
        re.compile(
            r"out of memory|OutOfMemoryError|cannot allocate|failed to allocate|bad_alloc|\bOOM\b"
            r"|no available memory for the cache|larger than the available KV cache memory"
            r"|free memory on device .* is less than|not enough memory",
            re.I,
        ),
    ),
    (FailureCause.DOWNLOAD_FAILED, re.compile(r"cannot get image|GatedRepoError|couldn't connect to", re.I)),
    (
        FailureCause.MODEL_NOT_FOUND,
        re.compile(
            r"model not found|is not a valid model identifier|RepositoryNotFoundError"
            r"|does not appear to have a file named",
            re.I,
        ),
    ),
    (
        FailureCause.BAD_ARGUMENT,
        re.compile(
            r"^bad argument|unrecognized arguments?|invalid argument|error: argument|invalid choice"
            r"|expected (one|at least one) argument|ambiguous option",
            re.I,
        ),
    ),
    (
        FailureCause.UNSUPPORTED_MODEL,
        re.compile(
            r"unknown (model )?architecture|unsupported|not supported|does not recognize this architecture"
            r"|requires you to execute the configuration file",
            re.I,
        ),
    ),
    (FailureCause.MODEL_NOT_FOUND, re.compile(r"no such file", re.I)),
    (FailureCause.UNSUPPORTED_MODEL, re.compile(r"failed to load|error loading model|invalid magic", re.I)),
)
CHATTER = re.compile(r"\b(DEBUG|INFO|WARNING|WARN)\b")
"""In lines of a log that tell of no error, whatever words they use."""

ASKED_BY_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

SENTENCES = {
    FailureCause.PORT_IN_USE: "its port is in use",
    FailureCause.OUT_OF_MEMORY: "it ran out of memory",
    FailureCause.UNSUPPORTED_MODEL: "the backend cannot load this model",
    FailureCause.BAD_ARGUMENT: "the backend does not accept its arguments",
    FailureCause.MODEL_NOT_FOUND: "the model is not there",
    FailureCause.DOWNLOAD_FAILED: "it could not be fetched",
}


@dataclass(frozen=True, slots=True)
class Failure:
    cause: FailureCause
    message: str
    exit_code: int | None
    signal: int | None


def classify(status: int | None, last_lines: Sequence[str]) -> Failure:
    """`status` as `subprocess` gives it: negative for a signal, None if nobody saw how it ended."""
    if status is None:
        return Failure(FailureCause.KILLED, "it was gone, and nothing says how it ended", None, None)
    number = -status if status < 0 else None
    code = status if status >= 0 else None
    if number in ASKED_BY_OTHERS:
        return Failure(FailureCause.KILLED, f"it was killed ({signal.Signals(number).name})", None, number)
    line, cause = _tell_tale(last_lines)
    if cause is not None and (number is None or cause is FailureCause.OUT_OF_MEMORY):
        return Failure(cause, f"{SENTENCES[cause]}: {line}", code, number)
    if number is not None:
        return Failure(FailureCause.CRASHED, f"it crashed ({signal.Signals(number).name})", None, number)
    if code == 0:
        return Failure(FailureCause.EXITED, "it ended by itself with status 0", 0, None)
    last = last_lines[-1].strip() if last_lines else "it said nothing"
    return Failure(FailureCause.CRASHED, f"it ended with status {code}: {last}", code, None)


def _tell_tale(lines: Sequence[str]) -> tuple[str, FailureCause | None]:
    for cause, pattern in PATTERNS:
        for line in reversed(lines):
            if pattern.search(line) and not CHATTER.search(line):
                return line.strip()[:300], cause
    return "", None
