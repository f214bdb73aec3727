"""A model on this machine, or only its `config.json`: what is known of it."""

import os
from pathlib import Path

from modelyard_contracts.models import ModelFacts
from modelyard_models.facts import facts_from_files
from modelyard_models.files import BadModel, ModelFiles

from modelyard_cli.errors import UsageError

LARGEST_TEXT_BYTES = 32 * 1024**2
TEXTS = (".json", ".md", ".jinja", ".yaml")


def facts_of_config(config: Path, weight_bytes: int) -> ModelFacts:
    """From a `config.json` alone. Zero bytes of weights: as large as its layers. Raises `UsageError`."""
    files = ModelFiles(str(config), None, {"model.safetensors": weight_bytes}, {"config.json": _read(config)})
    return _facts(files)


def facts_of_path(path: Path) -> ModelFacts:
    """Of a directory in the layout of Hugging Face. Raises `UsageError`."""
    if not path.is_dir():
        raise UsageError(f"{path}: there is no such directory.", hint="Give a directory, or --config FILE.")
    sizes: dict[str, int] = {}
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(folder) / name
            sizes[file.relative_to(path).as_posix()] = file.stat().st_size
    texts = {
        name: _read(path / name)
        for name, size in sizes.items()
        if name.endswith(TEXTS) and size <= LARGEST_TEXT_BYTES
    }
    return _facts(ModelFiles(str(path), None, sizes, texts))


def _facts(files: ModelFiles) -> ModelFacts:
    try:
        return facts_from_files(files)
    except BadModel as error:
        raise UsageError(f"{error}.") from error


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > LARGEST_TEXT_BYTES:
            raise UsageError(f"{file} is larger than {LARGEST_TEXT_BYTES // 1024**2} MiB: it is no metadata.")
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}.") from error
