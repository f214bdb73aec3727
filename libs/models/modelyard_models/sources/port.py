"""The port that every source of models fulfils, and the values that pass through it.

All of it blocks: `catalogue.Catalogue` is the door for all others, with threads, deadlines and cache.
"""

from enum import StrEnum
from typing import Protocol

from modelyard_contracts.base import Contract, Instant

MOST_TEXT_BYTES = 8 << 20
"""No README, config or index that describes a model honestly is larger."""


class Sort(StrEnum):
    LIKES = "likes"
    DOWNLOADS = "downloads"
    UPDATED = "updated"
    RELEVANCE = "relevance"
    """The source's own order."""


class Search(Contract):
    text: str
    sort: Sort = Sort.DOWNLOADS
    task: str | None = None
    """In the hub's words, as `text-generation`."""
    format: str | None = None
    """`gguf` or `safetensors`."""
    page: int = 1
    per_page: int = 20


class FoundModel(Contract):
    """One model in a list of findings."""

    id: str
    downloads: int = 0
    likes: int = 0
    updated_at: Instant | None = None
    task: str | None = None
    tags: tuple[str, ...] = ()
    gated: bool = False


class Found(Contract):
    models: tuple[FoundModel, ...]
    has_more: bool
    total: int | None = None
    """Where the source tells."""


class Repository(FoundModel):
    """A repository or directory at one revision."""

    revision: str | None
    """What to read files by; a commit where the source has such."""
    pinned: str
    """Changes with any content: the commit, or a fingerprint of names, sizes and hashes."""
    sizes: dict[str, int]
    """Every file with its bytes, by its path in the repository."""
    file: str | None = None
    """The file that was asked for itself, where a path names one."""


class ModelSource(Protocol):
    @property
    def name(self) -> str:
        """As `DeploymentSpec.source` spells it."""
        ...

    @property
    def place(self) -> str:
        """Where it asks: an endpoint, or this machine."""
        ...

    @property
    def token(self) -> str | None:
        """What it shows of who asks: what one may read is not another's."""
        ...

    def search(self, wanted: Search) -> Found:
        """Raises `SourceError`."""
        ...

    def repository(self, repo: str, revision: str | None) -> Repository:
        """Raises `SourceError`."""
        ...

    def read(self, repository: Repository, path: str, start: int, length: int) -> bytes:
        """At most `length` bytes of a file from `start` on, fewer where it ends. Raises `SourceError`."""
        ...
