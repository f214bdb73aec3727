"""Looks at one model at its source: all sizes, the small files, and headers of the others."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from modelyard_contracts.base import Contract
from modelyard_contracts.models import GgufChoice, GgufFacts, ModelCoordinates, ModelFacts

from modelyard_models.facts import facts_from_files
from modelyard_models.files import BadModel, ModelFiles
from modelyard_models.gguf_files import NoSuchFile, choices_in
from modelyard_models.gguf_header import BadGguf, read_header
from modelyard_models.sources.deadline import retried
from modelyard_models.sources.errors import BadAnswer, NotThere
from modelyard_models.sources.plan import Plan, plan_of
from modelyard_models.sources.port import MOST_TEXT_BYTES, ModelSource, Repository

MOST_HEADER_BYTES = 32 << 20
FIRST_HEADER_BYTES = 1 << 16
LEAST_OF_TENSORS = 0.99
"""Of their bytes, in a whole file: some align them less than is counted."""
LENGTH = struct.Struct("<Q")

Read = TypeVar("Read")


class Inspection(Contract):
    repository: Repository
    facts: ModelFacts
    readme: str | None
    gguf: tuple[GgufChoice, ...]


@dataclass(frozen=True, slots=True)
class _Reader:
    source: ModelSource
    repository: Repository

    def named(self, path: str) -> str:
        """A local file is a repository of its own name."""
        return self.repository.id if self.repository.file == path else f"{self.repository.id}/{path}"

    def part(self, path: str, start: int, length: int) -> bytes:
        return retried(lambda: self.source.read(self.repository, path, start, length))

    def text(self, path: str) -> bytes:
        if self.repository.sizes[path] > MOST_TEXT_BYTES:
            raise self.too_large(path, self.repository.sizes[path], MOST_TEXT_BYTES)
        text = self.part(path, 0, MOST_TEXT_BYTES + 1)
        if len(text) > MOST_TEXT_BYTES:
            raise self.too_large(path, len(text), MOST_TEXT_BYTES)
        return text

    def gguf(self, path: str) -> GgufFacts:
        try:
            facts = read_header(lambda start, stop: self.part(path, start, stop - start))
        except BadGguf as error:
            raise BadAnswer(f"{self.named(path)}: {error}") from error
        size, tensors = self.repository.sizes[path], sum(group.weight_bytes for group in facts.groups)
        if size < tensors * LEAST_OF_TENSORS:
            raise BadAnswer(
                f"{self.named(path)} is cut short: it has {size} bytes, its tensors take {tensors}"
            )
        return facts

    def safetensors(self, path: str) -> bytes:
        """The header: a length of 8 bytes, then JSON (the layout's own documentation)."""
        begin = self.part(path, 0, FIRST_HEADER_BYTES)
        if len(begin) < LENGTH.size:
            raise BadAnswer(f"{self.named(path)} ends within its header")
        (length,) = LENGTH.unpack_from(begin)
        if length > MOST_HEADER_BYTES:
            raise self.too_large(f"the header of {path}", length, MOST_HEADER_BYTES)
        end = LENGTH.size + length
        rest = self.part(path, len(begin), end - len(begin)) if end > len(begin) else b""
        header = (begin + rest)[LENGTH.size : end]
        if len(header) < length:
            raise BadAnswer(f"{self.named(path)} ends within its header")
        return header

    def too_large(self, what: str, claimed: int, most: int) -> BadAnswer:
        return BadAnswer(
            f"{self.repository.id}: {what} claims {claimed} bytes, no honest one has over {most >> 20} MiB"
        )


def inspect(source: ModelSource, coordinates: ModelCoordinates) -> Inspection:
    """Blocks. Raises `SourceError`."""
    repository = retried(lambda: source.repository(coordinates.repo, coordinates.revision))
    reader = _Reader(source, repository)
    try:
        pattern = repository.file or coordinates.file
        plan = plan_of(repository.id, repository.sizes, pattern)
        files = _read(reader, plan, coordinates)
        facts = facts_from_files(files)
    except NoSuchFile as error:
        raise NotThere(str(error)) from error
    except (BadModel, BadGguf) as error:
        raise BadAnswer(f"{repository.id}: {error}") from error
    readme = files.texts.get("README.md")
    return Inspection(
        repository=repository,
        facts=_with_choices(facts, plan, choices_in(repository.sizes, pattern)),
        readme=readme.decode(errors="replace") if readme is not None else None,
        gguf=choices_in(repository.sizes),
    )


def _read(reader: _Reader, plan: Plan, coordinates: ModelCoordinates) -> ModelFiles:
    repository = reader.repository
    projector = (plan.projector,) if plan.projector else ()
    return ModelFiles(
        location=coordinates.location(),
        revision=repository.revision,
        sizes=repository.sizes,
        texts={
            **_each(reader.text, plan.texts),
            **_each(reader.safetensors, plan.safetensors),
        },
        headers=_each(reader.gguf, (*plan.chosen, *projector)),
        chosen=plan.chosen,
        projector=plan.projector,
        task=repository.task,
        tags=repository.tags,
    )


def _each(read: Callable[[str], Read], paths: tuple[str, ...]) -> dict[str, Read]:
    return {path: read(path) for path in paths}


def _with_choices(facts: ModelFacts, plan: Plan, choices: tuple[GgufChoice, ...]) -> ModelFacts:
    if not plan.chosen:
        return facts
    return facts.model_copy(update={"file": plan.chosen[0], "choices": choices if len(choices) > 1 else ()})
