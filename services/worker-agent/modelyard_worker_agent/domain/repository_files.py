"""Which files of a repository are fetched: what the backend reads, and each weight once."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from modelyard_models.describing.weight_files import weight_files
from modelyard_models.files import ModelFiles
from modelyard_models.gguf_files import NoSuchFile, choose_model, models_in, projector_in

INDEX_SUFFIX = ".safetensors.index.json"
WEIGHTS = (
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".onnx_data", ".h5", ".msgpack"),
    *(".ot", ".tflite", ".mlmodel", ".mlpackage", ".npz", ".pkl", ".nemo", ".tar", ".zip", ".gz"),
)
"""Files of these suffixes are taken only where they are the weights that would be loaded."""
NEVER_READ = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".mp4", ".pdf", ".ipynb")
OTHER_RUNTIMES = ("onnx", "openvino", "coreml", "original", "metal", "runs", "tf_model")


class BadRepository(ValueError):
    """What the hub lists cannot be kept on a disk; the message names the file."""


def texts_wanted(sizes: Mapping[str, int], pattern: str | None) -> tuple[str, ...]:
    """The small files that must be read before it can be said which weights are meant."""
    if pattern or _only_gguf(sizes):
        return ()
    return tuple(sorted(name for name in sizes if name.endswith(INDEX_SUFFIX) or name == "model_index.json"))


def wanted_files(
    repo: str, sizes: Mapping[str, int], pattern: str | None, texts: Mapping[str, bytes]
) -> tuple[str, ...]:
    """The file that is to be served first, where it is one; else in no order that matters.

    `pattern`: a file or a glob; a GGUF model comes with all its shards and the projector beside it.
    Raises `NoSuchFile`, `BadModel`, `BadRepository`.
    """
    for name in sizes:
        _check_name(repo, name)
    if _only_gguf(sizes) or (pattern and pattern.endswith((".gguf", "*")) and models_in(sizes)):
        chosen = choose_model(repo, sizes, pattern)
        projector = projector_in(sizes, chosen[0])
        return (*chosen, projector) if projector else chosen
    if pattern:
        matching = tuple(sorted(name for name in sizes if fnmatchcase(name, pattern)))
        if not matching:
            raise NoSuchFile(f"{repo} holds no file like {pattern}; it has {_some(sizes)}")
        return matching
    weights = weight_files(ModelFiles(location=repo, revision=None, sizes=sizes, texts=texts))
    return (*weights, *(name for name in sizes if name not in weights and _is_beside(name)))


def served(files: tuple[str, ...]) -> str:
    """What a backend is given, by its path in the repository: a GGUF file, or all of it (empty)."""
    return files[0] if files and files[0].endswith(".gguf") else ""


def _only_gguf(sizes: Mapping[str, int]) -> bool:
    others = any(name.endswith((".safetensors", ".bin", ".pt", ".pth")) for name in sizes)
    return bool(models_in(sizes)) and not others


def _is_beside(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.parts[0] not in OTHER_RUNTIMES and not name.endswith(WEIGHTS + NEVER_READ)


def _check_name(repo: str, name: str) -> None:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\x00" in name or "\\" in name:
        raise BadRepository(f"{repo} lists a file named {name!r}, which leads out of its directory")


def _some(sizes: Mapping[str, int]) -> str:
    return ", ".join(sorted(sizes)[:8])
