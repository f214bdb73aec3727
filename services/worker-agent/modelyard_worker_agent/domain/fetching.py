"""What the agent and the process that fetches for it say to each other, one JSON text a line."""

from typing import Literal

from modelyard_contracts.base import Contract
from modelyard_contracts.models import ModelCoordinates


class FetchRequest(Contract):
    """The first line to the process. A second one, `go`, lets it fetch; the end of the lines ends it."""

    coordinates: ModelCoordinates
    revision: str | None
    """The commit that an earlier try was pinned to."""
    directory: str
    endpoint: str
    token: str | None
    files_at_once: int


class HubFile(Contract):
    path: str
    size: int
    sha256: str | None = None
    git_sha1: str | None = None
    """Of the file as a git object, where the hub keeps it in the repository itself."""


class FetchPlan(Contract):
    """The first line of the answer: what would be fetched."""

    revision: str
    """The commit; a fingerprint of names, sizes and hashes where the hub knows none."""
    files: tuple[HubFile, ...]
    served: str
    """What a backend is given, by its path in the repository; empty: the directory."""

    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)


class FetchEnd(Contract):
    """The last line."""

    end: Literal["done", "missing", "failed"]
    message: str = ""
