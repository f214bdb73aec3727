"""Models that lie on this machine. Only regular files whose names are those of a model are ever opened."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelyard_models.gguf_files import parts_of
from modelyard_models.sources.errors import BadAnswer, BadCoordinates, NotThere
from modelyard_models.sources.plan import is_readable
from modelyard_models.sources.port import Found, Repository, Search

DEEPEST = 2
"""Folders below the model's own: `1_Pooling`, the parts of a diffusers pipeline."""
MOST_FILES = 10_000


@dataclass(frozen=True, slots=True)
class LocalFiles:
    place: str = "this machine"
    token: str | None = None
    name: str = "local_path"

    def search(self, wanted: Search) -> Found:
        raise BadCoordinates("paths cannot be searched")

    def repository(self, repo: str, revision: str | None) -> Repository:
        """`repo` is a directory, a GGUF file, or the first part of a split one."""
        path = Path(repo)
        if not path.is_absolute():
            raise BadCoordinates(f"{repo} is no absolute path")
        try:
            if path.is_dir():
                return _described(repo, None, dict(_sizes(path)))
            if path.suffix != ".gguf":
                raise NotThere(f"{repo} is neither a directory nor a .gguf file here")
            if not path.is_file():
                raise NotThere(f"{repo} does not exist here")
            return _described(repo, path.name, dict(_beside(path)))
        except OSError as error:
            raise NotThere(f"{repo} cannot be read here: {error.strerror}") from error

    def read(self, repository: Repository, path: str, start: int, length: int) -> bytes:
        folder = Path(repository.id).parent if repository.file else Path(repository.id)
        if path not in repository.sizes or not is_readable(path):
            raise NotThere(f"{path} is no file that describes a model")
        try:
            with (folder / path).open("rb") as file:
                file.seek(start)
                return file.read(length)
        except OSError as error:
            raise BadAnswer(f"{folder / path} cannot be read: {error.strerror}") from error


def _described(repo: str, file: str | None, sizes: dict[str, int]) -> Repository:
    return Repository(id=repo, revision=None, pinned="", sizes=sizes, file=file)


def _beside(path: Path) -> Iterator[tuple[str, int]]:
    """The file, its other parts, and GGUF files beside it that may be its projector."""
    parts = set(parts_of(path.name))
    for entry in _entries(path.parent):
        if entry.name in parts or ("mmproj" in entry.name.lower() and entry.name.endswith(".gguf")):
            yield from _size(entry, "")


def _sizes(folder: Path, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    for entry in _entries(folder):
        if entry.is_dir() and depth < DEEPEST and not entry.name.startswith("."):
            yield from _sizes(Path(entry.path), f"{prefix}{entry.name}/", depth + 1)
        else:
            yield from _size(entry, prefix)


def _size(entry: "os.DirEntry[str]", prefix: str) -> Iterator[tuple[str, int]]:
    """Pipes and devices are no files; a link counts as what it leads to."""
    if entry.is_file():
        yield prefix + entry.name, entry.stat().st_size


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= MOST_FILES:
                raise BadAnswer(f"{folder} holds more than {MOST_FILES} files: it is no model's folder")
            yield entry
