"""Which files of a repository are the model."""

import fnmatch
import re
from collections.abc import Mapping

SHARD = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")


class NoSuchFile(Exception):
    """The repository has no such model; the message says what it has."""


def choose_files(repo: str, sizes: Mapping[str, int], pattern: str | None) -> tuple[str, ...]:
    """All files of the model the pattern means, the one to be served first.

    Without a pattern, or where several models match, it is the smallest. Raises `NoSuchFile`.
    """
    models = sorted(name for name in sizes if name.endswith(".gguf"))
    if not models:
        raise NoSuchFile(f"{repo} holds no .gguf file, and llama.cpp serves no other")
    matching = [name for name in models if fnmatch.fnmatchcase(name, pattern or "*")]
    if not matching:
        raise NoSuchFile(f"{repo} holds no file like {pattern}; it has {', '.join(models[:8])}")
    firsts = [name for name in matching if parts_of(name)[0] == name]
    if not firsts:
        raise NoSuchFile(f"{repo}: {pattern} names a later part of a split model; name its first")
    return min((parts_of(first) for first in firsts), key=lambda parts: (_bytes(parts, sizes), parts))


def parts_of(name: str) -> tuple[str, ...]:
    """The names of all parts of a split model, in order; a whole model has one."""
    shard = SHARD.match(name)
    if shard is None:
        return (name,)
    count = int(shard["count"])
    return tuple(f"{shard['stem']}-{number:05}-of-{shard['count']}.gguf" for number in range(1, count + 1))


def _bytes(parts: tuple[str, ...], sizes: Mapping[str, int]) -> int:
    return sum(sizes.get(part, 0) for part in parts)
