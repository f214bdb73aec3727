"""Models at their sources, before anything is downloaded."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from modelyard_contracts.deployments import Source as KnownSource
from modelyard_contracts.models import ModelCoordinates
from modelyard_models.sources.port import Search, Sort
from modelyard_models.sources.views import page_of, view_of

from modelyard_cli.client import Json
from modelyard_cli.direct import inspect_directly, search_directly
from modelyard_cli.errors import UsageError
from modelyard_cli.model_facts import coordinates_in
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, say, show_data, show_table, size_text

MOST_FILES = 30


class Source(StrEnum):
    HUGGINGFACE = "huggingface"
    MODELSCOPE = "modelscope"

    def known(self) -> KnownSource:
        return KnownSource.HUGGINGFACE if self is Source.HUGGINGFACE else KnownSource.MODEL_SCOPE


class FileFormat(StrEnum):
    GGUF = "gguf"
    SAFETENSORS = "safetensors"


Direct = Annotated[bool, typer.Option("--direct", help="Ask from here, without an api.")]
SourceOption = Annotated[Source, typer.Option("--source", help="Where to look.")]


def search(
    text: Annotated[str, typer.Argument(help="A part of the name.")],
    source: SourceOption = Source.HUGGINGFACE,
    sort: Annotated[Sort, typer.Option("--sort", help="What comes first.")] = Sort.DOWNLOADS,
    task: Annotated[str | None, typer.Option("--task", help="As in text-generation.")] = None,
    file_format: Annotated[FileFormat | None, typer.Option("--format", help="Of the weights.")] = None,
    page: Annotated[int, typer.Option("--page", min=1, help="Which page of findings.")] = 1,
    direct: Direct = False,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    if direct:
        wanted = Search(text=text, sort=sort, task=task, format=file_format, page=page)
        found = page_of(search_directly(source.known(), wanted), wanted)
    else:
        asked = {"search": text, "sort": sort.value, "task": task, "page": page, "format": file_format}
        given = {name: value for name, value in asked.items() if value is not None}
        found = api_of(url, api_key).get(f"/v2/model-sources/{source}/search", **given)
    if output is not Output.TABLE:
        show_data(found, output)
    elif not found["items"]:
        say(f"{source} has no {'more models' if page > 1 else 'model'} named like {text!r}.")
    else:
        show_table(("MODEL", "DOWNLOADS", "LIKES", "UPDATED", "TASK"), [_row(one) for one in found["items"]])
        if page < found["pagination"]["totalPage"]:
            say(f"There are more: --page {page + 1}.")


def inspect(
    model: Annotated[str, typer.Argument(help="A repository as ORG/NAME or ORG/NAME/FILE.gguf, or a path.")],
    source: SourceOption = Source.HUGGINGFACE,
    revision: Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit.")] = None,
    file: Annotated[str | None, typer.Option("--file", help="A GGUF file of it, or a glob.")] = None,
    direct: Direct = False,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    at = _coordinates(model, source.known(), revision)
    if at.source is KnownSource.LOCAL_PATH and (revision or file):
        raise UsageError("--revision and --file are for repositories.", hint="Name the file in the path.")
    at = at if file is None else at.model_copy(update={"file": file})
    if direct:
        found = view_of(inspect_directly(at))
    elif at.source is KnownSource.LOCAL_PATH:
        found = api_of(url, api_key).get("/v2/model-sources/local", path=at.repo)
    else:
        named = {"revision": revision, "file": at.file}
        given = {name: value for name, value in named.items() if value is not None}
        found = api_of(url, api_key).get(f"/v2/model-sources/{source}/models/{quote(at.repo)}", **given)
    if output is not Output.TABLE:
        show_data(found, output)
    else:
        _show(found)


def _coordinates(model: str, source: KnownSource, revision: str | None) -> ModelCoordinates:
    """Some old repositories have no organisation. Raises `UsageError`."""
    if "/" in model or Path(model).exists():
        return coordinates_in(model, source, revision)
    return ModelCoordinates(source=source, repo=model, revision=revision)


def _row(model: Json) -> tuple[object, ...]:
    updated = model["updated_at"]
    return (model["id"], model["downloads"], model["likes"], updated and updated[:10], model["task"])


def _show(found: Json) -> None:
    rows = [(name, value) for name, value in _facts(found).items() if value not in (None, "", [])]
    show_table(("MODEL", found["id"]), rows)
    choices = found.get("gguf_files") or []
    if choices:
        say("")
        show_table(("GGUF FILE", "SIZE"), [(one["file"], size_text(one["bytes"])) for one in choices])
    files = found.get("files") or []
    if files and not choices:
        say("")
        show_table(("FILE", "SIZE"), [(one["path"], size_text(one["size"])) for one in files[:MOST_FILES]])
        if len(files) > MOST_FILES:
            say(f"... and {len(files) - MOST_FILES} more (--output json has all)")


def _facts(found: Json) -> dict[str, Any]:
    facts = found["facts"]
    return {
        "format": facts["format"],
        "category": f"{facts['category']} ({facts['category_rule']})",
        "backend": found["default_backend"],
        "runs with": ", ".join(name for name, why in found["backends"].items() if why is None),
        "architecture": ", ".join(facts["architectures"]),
        "gguf file": _file(facts, found.get("model_file")),
        "parameters": _count(facts["parameters"]),
        "active parameters": _count(facts["active_parameters"]),
        "quantization": facts["quantization"],
        "context": facts["context_length"],
        "weights": size_text(facts["weight_bytes"]),
        "languages": ", ".join(facts["languages"]),
        "modalities": ", ".join(facts["modalities"]),
        "tools": "yes" if facts["tools"] else None,
        "reasoning": "yes" if facts["reasoning"] else None,
        "license": facts["license"],
        "revision": facts["revision"],
        "worker": found.get("worker"),
    }


def _file(facts: Json, chosen: Json | None) -> str | None:
    """Which of the repository's GGUF models all this is about, and why it would be served on this cluster."""
    return facts["file"] if chosen is None else f"{chosen['file']} ({chosen['reason']})"


def _count(parameters: int | None) -> str | None:
    if parameters is None:
        return None
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"
