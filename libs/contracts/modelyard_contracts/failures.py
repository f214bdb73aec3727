"""Why model servers end."""

from enum import StrEnum


class FailureCause(StrEnum):
    MODEL_NOT_FOUND = "model_not_found"
    UNSUPPORTED_MODEL = "unsupported_model"
    BAD_ARGUMENT = "bad_argument"
    OUT_OF_MEMORY = "out_of_memory"
    PORT_IN_USE = "port_in_use"
    DOWNLOAD_FAILED = "download_failed"
    START_TIMEOUT = "start_timeout"
    UNRESPONSIVE = "unresponsive"
    KILLED = "killed"
    CRASHED = "crashed"
    EXITED = "exited"
    """It ended with status 0 though nobody asked it to."""
    WORKER_STOPPED = "worker_stopped"
    """The agent ended it when it was itself shut down; no fault, so it is started again at once."""


HOPELESS = frozenset(
    {FailureCause.MODEL_NOT_FOUND, FailureCause.UNSUPPORTED_MODEL, FailureCause.BAD_ARGUMENT}
)
"""What starting again does not mend, unless it has run before."""
