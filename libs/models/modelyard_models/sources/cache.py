"""Answers of sources on disk: what is pinned to a commit for ever, the rest until it expires.

The least used goes first when the cache is full. A damaged entry counts as none.
"""

import hashlib
import json
import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from modelyard_models.sources.errors import Offline
from modelyard_models.sources.port import Found, ModelSource, Repository, Search

KEPT_AFTER_CLEANING = 0.8


class DiskCache:
    def __init__(self, directory: Path, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._bytes: int | None = None

    def get(self, key: str, *, younger_than_s: float | None = None) -> bytes | None:
        path = self._path(key)
        try:
            if younger_than_s is not None and time.time() - path.stat().st_mtime > younger_than_s:
                return None
            content = path.read_bytes()
            if younger_than_s is None:
                os.utime(path)
        except OSError:
            return None
        return content

    def put(self, key: str, content: bytes) -> None:
        """A disk that is full or not writable costs the cache, never the answer."""
        path = self._path(key)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(descriptor, "wb") as out:
                out.write(content)
            Path(temporary).replace(path)
            with self._lock:
                self._grown(len(content))

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self._directory / digest[:2] / digest

    def _grown(self, added: int) -> None:
        self._bytes = (self._bytes + added) if self._bytes is not None else self._measured()
        if self._bytes > self._most_bytes:
            self._clean()

    def _measured(self) -> int:
        return sum(size for _, size, _ in self._entries())

    def _clean(self) -> None:
        left = self._measured()
        for _, size, path in sorted(self._entries()):
            if left <= self._most_bytes * KEPT_AFTER_CLEANING:
                break
            path.unlink(missing_ok=True)
            left -= size
        self._bytes = left

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Last use, bytes, path."""
        found = []
        for path in self._directory.glob("*/*"):
            with suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        return found


class CachedSource:
    """Another source, asked only for what the cache does not hold; offline, it is never asked."""

    def __init__(self, source: ModelSource, cache: DiskCache, *, expiry_s: float, offline: bool) -> None:
        self.name, self.place, self.token = source.name, source.place, source.token
        self._source = source
        self._cache = cache
        self._expiry_s = expiry_s
        self._offline = offline

    def search(self, wanted: Search) -> Found:
        self._allowed(f"a search for {wanted.text!r}")
        return self._source.search(wanted)

    def repository(self, repo: str, revision: str | None) -> Repository:
        key = self._key("repository", repo, revision)
        kept = self._cache.get(key, younger_than_s=None if self._offline else self._expiry_s)
        if kept is not None:
            with suppress(ValidationError):
                return Repository.model_validate_json(kept)
        self._allowed(f"{repo} at revision {revision}" if revision else repo)
        found = self._source.repository(repo, revision)
        self._cache.put(key, found.model_dump_json().encode())
        return found

    def read(self, repository: Repository, path: str, start: int, length: int) -> bytes:
        key = self._key("read", repository.id, repository.pinned, path, start, length)
        kept = self._cache.get(key)
        if kept is not None:
            return kept
        self._allowed(f"{repository.id}/{path}, {length} bytes from {start}")
        content = self._source.read(repository, path, start, length)
        self._cache.put(key, content)
        return content

    def _allowed(self, what: str) -> None:
        if self._offline:
            raise Offline(f"offline mode: would have asked {self.place} for {what}")

    def _key(self, *parts: object) -> str:
        """What one token may read is nobody else's."""
        asks = hashlib.sha256((self.token or "").encode()).hexdigest()
        return json.dumps([self.name, self.place, asks, *parts])
