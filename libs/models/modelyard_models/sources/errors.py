"""What can go wrong with a source: one small family, each message says what to do next."""


class SourceError(Exception):
    """Nothing was read. Never raised itself."""


class BadCoordinates(SourceError):
    """The repository, file, revision or path cannot be meant; the message names it."""


class NotThere(SourceError):
    """The repository, the revision or the file does not exist, or is hidden from who asks."""


class Denied(SourceError):
    """The source knows of it but refuses: gated, private, or a bad token."""


class Limited(SourceError):
    """The source takes no more requests for now (429)."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unreachable(SourceError):
    """No connection, no answer in time, or a fault of the source's own (5xx)."""


class BadAnswer(SourceError):
    """What came is damaged, of the wrong kind, or larger than anything honest."""


class Offline(SourceError):
    """Offline mode: the message says what would have been asked."""
