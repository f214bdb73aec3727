"""Models that lie on this machine, and questions about them."""

import asyncio
from pathlib import Path

from modelyard_contracts.messages import PathAnswer, PathQuestion
from modelyard_contracts.models import GgufFacts
from modelyard_models.gguf_header import BadGguf, header_of_file
from modelyard_models.llama_cpp.flags import flags_of
from modelyard_models.llama_cpp.kv_cache import bytes_per_token
from modelyard_models.llama_cpp.shape import NoShape, shape_of

from modelyard_worker_agent.domain.hub_files import parts_of
from modelyard_worker_agent.ports import ModelMissing


def find_model(path: str) -> Path:
    """The GGUF file to serve: the path itself, or the one (first shard) in that directory.

    Only names that end in `.gguf` are ever looked into. Raises `ModelMissing`.
    """
    here = Path(path)
    if here.is_dir():
        return _only_model_in(here)
    if here.suffix != ".gguf":
        raise ModelMissing(f"{path} is neither a directory nor a .gguf file")
    if not here.is_file():
        raise ModelMissing(f"{path} does not exist here")
    return here


def _only_model_in(directory: Path) -> Path:
    found = sorted(file for file in directory.glob("*.gguf") if _is_first(file.name))
    if not found:
        raise ModelMissing(f"{directory} holds no .gguf file")
    if len(found) > 1:
        names = ", ".join(file.name for file in found[:5])
        raise ModelMissing(f"{directory} holds several models ({names}): name one of the files")
    return found[0]


def _is_first(name: str) -> bool:
    return parts_of(name)[0] == name


def shards_of(file: Path) -> list[Path]:
    return [file.with_name(part) for part in parts_of(file.name)]


def look(question: PathQuestion) -> PathAnswer:
    try:
        file = find_model(question.path)
        shards = shards_of(file)
        missing = next((shard for shard in shards if not shard.is_file()), None)
        if missing is not None:
            return PathAnswer(found=False, message=f"{missing.name} is missing beside {file}")
        facts = header_of_file(file)
    except (ModelMissing, BadGguf, OSError) as error:
        return PathAnswer(found=False, message=str(error))
    return _answer(file, shards, facts)


def _answer(file: Path, shards: list[Path], facts: GgufFacts) -> PathAnswer:
    architecture = facts.metadata.get("general.architecture")
    try:
        shape = shape_of(facts)
    except NoShape:
        shape = None
    return PathAnswer(
        found=True,
        message=f"{file} is here",
        file=str(file),
        weight_bytes=sum(shard.stat().st_size for shard in shards),
        architecture=architecture if isinstance(architecture, str) else None,
        context_length=shape.context_length or None if shape else None,
        kv_bytes_per_token=bytes_per_token(shape, flags_of([], shape.context_length)) if shape else None,
    )


async def answer_path(question: PathQuestion) -> PathAnswer:
    """Off the event loop: the path may lie on a network file system."""
    return await asyncio.to_thread(look, question)
