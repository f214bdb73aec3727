"""Which GGUF files of a repository are a model: shards, projectors, and the choice a person has."""

import fnmatch
import re
from collections.abc import Iterable, Mapping

from modelyard_contracts.models import GgufChoice

from modelyard_models.files import BadModel
from modelyard_models.gguf_choice import smallest_good

SHARD = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")
MOST_SHARDS = 1000


class NoSuchFile(BadModel):
    """The repository has no such model; the message says what it has."""


def models_in(sizes: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Every GGUF model of a repository: its shards in order, by the name of the first."""
    firsts = sorted(name for name in sizes if _is_model(name) and parts_of(name)[0] == name)
    return {first: parts_of(first) for first in firsts}


def choices_in(sizes: Mapping[str, int], pattern: str | None = None) -> tuple[GgufChoice, ...]:
    """The models that a file or a glob means; all without one. Of some, those of which a part is missing are
    left out, unless there are no others."""
    models = models_in(sizes)
    named = [pattern] if pattern in models else [name for name in models if _means(pattern, name)]
    whole = [name for name in named if all(part in sizes for part in models[name])]
    return tuple(
        GgufChoice(
            file=name, shards=len(models[name]), bytes=sum(sizes.get(part, 0) for part in models[name])
        )
        for name in whole or named
    )


def choose_model(repo: str, sizes: Mapping[str, int], pattern: str | None) -> tuple[str, ...]:
    """The shards of the model that `pattern` (a file or a glob) means, the first one first.

    Without a pattern, or where several models match, it is the smallest that loses little. Raises
    `NoSuchFile`.
    """
    models = models_in(sizes)
    if not models:
        raise NoSuchFile(f"{repo} holds no .gguf file")
    choices = choices_in(sizes, pattern)
    if not choices:
        raise NoSuchFile(f"{repo} holds no model in a file like {pattern}; it has {_some(models)}")
    chosen = models[smallest_good(choices).choice.file]
    missing = next((part for part in chosen if part not in sizes), None)
    if missing is not None:
        raise NoSuchFile(f"{repo} lacks {missing}, a part of {chosen[0]}")
    return chosen


def parts_of(name: str) -> tuple[str, ...]:
    """The names of all parts of a split model, in order; a whole model has one."""
    shard = SHARD.match(name)
    if shard is None or not 0 < int(shard["count"]) <= MOST_SHARDS:
        return (name,)
    stem, count = shard["stem"], shard["count"]
    return tuple(f"{stem}-{number:05}-of-{count}.gguf" for number in range(1, int(count) + 1))


def projector_in(sizes: Mapping[str, int], model: str) -> str | None:
    """The multimodal projector beside a model: of 16 bits if there is one, else the smallest."""
    folder = model.rpartition("/")[0]
    found = [name for name in sizes if _is_projector(name) and name.rpartition("/")[0] == folder]
    return min(found, key=lambda name: ("f16" not in name.lower(), sizes[name], name), default=None)


def _means(pattern: str | None, name: str) -> bool:
    return pattern is None or fnmatch.fnmatchcase(name, pattern)


def _is_projector(name: str) -> bool:
    return name.endswith(".gguf") and "mmproj" in name.rpartition("/")[2].lower()


def _is_model(name: str) -> bool:
    return name.endswith(".gguf") and not _is_projector(name)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")
