"""What was read is kept within a limit, and never costs an answer."""

import os
import time
from pathlib import Path

from modelyard_models.sources.cache import CachedSource, DiskCache
from modelyard_models.sources.port import Found, Repository, Search


class Counting:
    """A source that counts how often it is asked."""

    name, place, token = "huggingface", "http://hub", None

    def __init__(self) -> None:
        self.asked: list[str] = []

    def search(self, wanted: Search) -> Found:
        self.asked.append("search")
        return Found(models=(), has_more=False)

    def repository(self, repo: str, revision: str | None) -> Repository:
        self.asked.append(repo)
        return Repository(id=repo, revision="c0ffee", pinned="c0ffee", sizes={"config.json": 2})

    def read(self, repository: Repository, path: str, start: int, length: int) -> bytes:
        self.asked.append(path)
        return b"{}"


def files(directory: Path) -> list[Path]:
    return [path for path in directory.glob("*/*") if path.is_file()]


def test_the_least_used_goes_when_the_cache_is_full(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, most_bytes=1000)
    for number in range(9):
        cache.put(f"{number}", bytes(100))
        os.utime(cache._path(f"{number}"), (number, number))
    assert cache.get("0") == bytes(100)
    cache.put("9", bytes(150))
    kept = [number for number in range(10) if cache.get(f"{number}") is not None]
    assert 0 in kept
    assert 9 in kept
    assert 1 not in kept
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 1000


def test_what_a_branch_holds_is_asked_again_after_its_time_and_a_commit_never(tmp_path: Path) -> None:
    source = Counting()
    cached = CachedSource(source, DiskCache(tmp_path, 1 << 20), expiry_s=60, offline=False)
    for _ in range(2):
        cached.read(cached.repository("org/a", None), "config.json", 0, 10)
    assert source.asked == ["org/a", "config.json"]
    for path in files(tmp_path):
        os.utime(path, (time.time() - 61, time.time() - 61))
    cached.read(cached.repository("org/a", None), "config.json", 0, 10)
    assert source.asked == ["org/a", "config.json", "org/a"]


def test_a_damaged_entry_counts_as_none(tmp_path: Path) -> None:
    source = Counting()
    cached = CachedSource(source, DiskCache(tmp_path, 1 << 20), expiry_s=60, offline=False)
    cached.repository("org/a", None)
    for path in files(tmp_path):
        path.write_bytes(b"{")
    assert cached.repository("org/a", None).pinned == "c0ffee"
    assert source.asked == ["org/a", "org/a"]


def test_a_disk_that_takes_nothing_costs_only_the_cache(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    source = Counting()
    cached = CachedSource(source, DiskCache(blocked, 1 << 20), expiry_s=60, offline=False)
    assert cached.repository("org/a", None).pinned == "c0ffee"
    assert cached.repository("org/a", None).pinned == "c0ffee"
    assert len(source.asked) == 2
