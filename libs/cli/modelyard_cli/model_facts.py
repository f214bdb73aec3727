"""What is known of a model that a person names: a path on this machine, or a repository of a hub."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from modelyard_contracts.deployments import Source
from modelyard_contracts.models import GgufChoice, ModelCoordinates, ModelFacts, at_file
from modelyard_models.facts import facts_from_files
from modelyard_models.files import BadModel, ModelFiles
from modelyard_models.gguf_choice import smallest_good
from modelyard_models.scaling import scaled
from modelyard_models.sources.catalogue import Catalogue
from modelyard_models.sources.errors import SourceError
from modelyard_models.sources.settings import ModelSourceSettings

from modelyard_cli.errors import UsageError

LARGEST_CONFIG_BYTES = 32 * 1024**2
REPOSITORY = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<file>.+))?")


def facts_of_config(config: Path, weight_bytes: int) -> ModelFacts:
    """From a `config.json` alone. Zero bytes of weights: as large as its layers. Raises `UsageError`."""
    try:
        if config.stat().st_size > LARGEST_CONFIG_BYTES:
            raise UsageError(
                f"{config} is larger than {LARGEST_CONFIG_BYTES >> 20} MiB: it is no config.json."
            )
        text = config.read_bytes()
    except OSError as error:
        raise UsageError(f"{config}: {error.strerror}.") from error
    files = ModelFiles(str(config), None, {"model.safetensors": weight_bytes}, {"config.json": text})
    try:
        return facts_from_files(files)
    except BadModel as error:
        raise UsageError(f"{config}: {error}.") from error


def facts_of_model(
    model: str, source: Source = Source.HUGGINGFACE, revision: str | None = None
) -> ModelFacts:
    """Only what describes the model is read. Raises `UsageError`."""
    return facts_at(coordinates_in(model, source, revision))


def facts_that_fit(
    model: str, source: Source, revision: str | None, fits: Callable[[ModelFacts], bool]
) -> tuple[ModelFacts, str | None]:
    """Where several GGUF models are meant, of the smallest good one that fits, and why it is that one. Raises
    `UsageError`."""
    at = coordinates_in(model, source, revision)
    first = facts_at(at)
    seen = {first.file: first}
    if not first.choices:
        return first, None

    def is_room_for(choice: GgufChoice) -> bool:
        return fits(seen.get(choice.file) or scaled(first, choice.bytes / max(first.weight_bytes, 1)))

    while True:
        chosen = smallest_good(first.choices, is_room_for)
        file = chosen.choice.file
        if file in seen:
            return seen[file], chosen.why
        seen[file] = facts_at(at_file(at, file))


def facts_at(coordinates: ModelCoordinates) -> ModelFacts:
    """Raises `UsageError`."""
    try:
        return asyncio.run(_inspected(coordinates))
    except SourceError as error:
        raise UsageError(f"{error}.") from error


def coordinates_in(model: str, source: Source, revision: str | None) -> ModelCoordinates:
    """A path that is there or can only be one, else a repository, with a file of it. Raises `UsageError`."""
    path = Path(model).expanduser()
    if path.exists() or model.startswith(("/", ".", "~")) or source is Source.LOCAL_PATH:
        return ModelCoordinates(source=Source.LOCAL_PATH, repo=str(path.absolute()))
    named = REPOSITORY.fullmatch(model)
    if named is None:
        raise UsageError(
            f"{model!r} is no path here and no repository.",
            hint="Give a path, org/name, or org/name/file.gguf.",
        )
    return ModelCoordinates(source=source, repo=named["repo"], file=named["file"], revision=revision)


async def _inspected(coordinates: ModelCoordinates) -> ModelFacts:
    catalogue = Catalogue(ModelSourceSettings())
    try:
        return (await catalogue.inspect(coordinates)).facts
    finally:
        catalogue.close()
