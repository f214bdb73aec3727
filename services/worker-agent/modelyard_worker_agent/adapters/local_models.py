"""Models that lie on this machine, and questions about them."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from modelyard_contracts.deployments import Source
from modelyard_contracts.messages import PathAnswer, PathQuestion
from modelyard_contracts.models import ModelCoordinates, ModelFacts
from modelyard_models.gguf_files import NoSuchFile, choose_model, projector_in
from modelyard_models.keeping import kept
from modelyard_models.llama_cpp.flags import flags_of
from modelyard_models.llama_cpp.kv_cache import bytes_per_token
from modelyard_models.llama_cpp.shape import NoShape, shape_of
from modelyard_models.sources.errors import SourceError
from modelyard_models.sources.inspecting import inspect
from modelyard_models.sources.local import LocalFiles

from modelyard_worker_agent.ports import ModelMissing

ADAPTER_CONFIG = "adapter_config.json"


def find_model(path: str) -> Path:
    """The GGUF file to serve: the path itself, or one (its first shard) in that directory.

    Only names that end in `.gguf` are ever looked into. Raises `ModelMissing`.
    """
    here = Path(path)
    if here.is_dir():
        return _model_in(here)
    if here.suffix != ".gguf":
        raise ModelMissing(f"{path} is neither a directory nor a .gguf file")
    if not here.is_file():
        raise ModelMissing(f"{path} does not exist here")
    return here


def _model_in(directory: Path) -> Path:
    """Of several the smallest that loses little, unless the scheduler names one for the room there is."""
    try:
        sizes = LocalFiles().repository(str(directory), None).sizes
        return directory / choose_model(str(directory), sizes, None)[0]
    except (NoSuchFile, SourceError) as error:
        raise ModelMissing(str(error)) from error


def served_model(path: str) -> Path:
    """What a backend would be given: a directory in Hugging Face's layout as it is, else a GGUF file of it.
    Raises `ModelMissing`."""
    here = Path(path)
    if not here.exists():
        raise ModelMissing(f"{path} does not exist here")
    described = any((here / name).is_file() for name in ("config.json", ADAPTER_CONFIG))
    if described and not any(here.glob("*.gguf")):
        return here
    return find_model(path)


def projector_beside(model: Path) -> Path | None:
    """The multimodal projector that goes with a GGUF model."""
    sizes = {file.name: file.stat().st_size for file in model.parent.glob("*.gguf")}
    found = projector_in(sizes, model.name)
    return model.parent / found if found else None


def adapter_rank(adapter: Path) -> int | None:
    """The highest of its matrices, as PEFT writes it down; None where it does not say."""
    try:
        said = json.loads((adapter / ADAPTER_CONFIG).read_text())
        return max(int(rank) for rank in (said["r"], *(said.get("rank_pattern") or {}).values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def look(question: PathQuestion) -> PathAnswer:
    try:
        served = served_model(question.path)
        file = "*.gguf" if served.suffix == ".gguf" else None
        said = ModelCoordinates(source=Source.LOCAL_PATH, repo=question.path, file=file)
        inspection = inspect(LocalFiles(), said)
    except (ModelMissing, SourceError, OSError) as error:
        return PathAnswer(found=False, message=str(error))
    return _answer(served, inspection.facts.model_copy(update={"location": question.path}))


def _answer(served: Path, facts: ModelFacts) -> PathAnswer:
    shape = None
    if facts.gguf is not None:
        with suppress(NoShape):
            shape = shape_of(facts.gguf)
    context_length = shape.context_length if shape else facts.context_length
    return PathAnswer(
        found=True,
        message=f"{served} is here",
        file=str(served),
        weight_bytes=facts.weight_bytes,
        architecture=_architecture(facts),
        context_length=context_length or None,
        kv_bytes_per_token=bytes_per_token(shape, flags_of([], shape.context_length)) if shape else None,
        facts=kept(facts),
    )


def _architecture(facts: ModelFacts) -> str | None:
    said = facts.gguf.metadata.get("general.architecture") if facts.gguf else None
    return said if isinstance(said, str) else next(iter(facts.architectures), None)


async def answer_path(question: PathQuestion) -> PathAnswer:
    """Off the event loop: the path may lie on a network file system."""
    return await asyncio.to_thread(look, question)
