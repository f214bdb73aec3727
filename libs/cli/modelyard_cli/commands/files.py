"""Models on workers' disks."""

import time
from typing import Annotated

import typer

from modelyard_cli import workers
from modelyard_cli.client import Api, Json
from modelyard_cli.commands.logs import show_log
from modelyard_cli.commands.sources import Source, SourceOption
from modelyard_cli.errors import CliError
from modelyard_cli.options import ApiKey, Format, Url, api_of
from modelyard_cli.output import Output, note, say, show_data, show_table, size_text

files_app = typer.Typer(no_args_is_help=True)
PATH = "/v2/model-files"
POLL_S = 1.0
File = Annotated[int, typer.Argument(help="Its id, as 'modelyard files ls' shows it.")]


@files_app.command()
def ls(
    worker: Annotated[str | None, typer.Option(help="Only those of this worker.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    output: Format = Output.TABLE,
) -> None:
    """List them, with how far downloads are."""
    api = api_of(url, api_key)
    wanted = {} if worker is None else {"worker_id": workers.find(api, worker)["id"]}
    found = sorted(api.items(PATH, **wanted), key=lambda file: file["id"])
    if output is not Output.TABLE:
        show_data(found, output)
        return
    if not found:
        say("There are no model files.")
        return
    names = {one["id"]: one["name"] for one in api.items("/v2/workers")}
    columns = ("ID", "MODEL", "WORKER", "STATE", "SIZE", "DONE", "SPEED", "LEFT", "MESSAGE")
    show_table(columns, [_row(file, names) for file in found])


@files_app.command()
def add(
    repository: Annotated[str, typer.Argument(help="As in Qwen/Qwen3-0.6B-GGUF.")],
    worker: Annotated[str, typer.Option(help="Name of the worker that is to fetch it.")],
    file: Annotated[str | None, typer.Option(help="File of the repository, such as '*Q4_K_M.gguf'.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
    source: SourceOption = Source.HUGGINGFACE,
    wait: Annotated[bool, typer.Option("--wait", help="Return only when it is there.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Fetch a model to a worker before any instance needs it."""
    api = api_of(url, api_key)
    body: Json = {"worker_id": workers.find(api, worker)["id"], "source": source.known().value}
    if source is Source.HUGGINGFACE:
        body |= {"huggingface_repo_id": repository, "huggingface_filename": file}
    else:
        body |= {"model_scope_model_id": repository, "model_scope_file_path": file}
    made = api.post(PATH, {**body, "revision": revision})
    say(f"{worker} fetches {made['name']} (id {made['id']}).")
    if wait:
        _wait(api, made["id"])


@files_app.command()
def logs(
    file: File,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    tail: Annotated[int, typer.Option(min=-1, help="So many last lines; -1 for all.")] = -1,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Show what was said while it was fetched."""
    show_log(api_of(url, api_key), f"{PATH}/{file}/logs", tail, follow=follow)


@files_app.command()
def retry(file: File, url: Url = None, api_key: ApiKey = None) -> None:
    """Try a download again that failed; what came stays."""
    made = api_of(url, api_key).post(f"{PATH}/{file}/reset", {})
    say(f"{made['name']} is fetched again.")


@files_app.command()
def rm(
    file: File,
    keep: Annotated[bool, typer.Option("--keep", help="Only forget it: the files stay on the disk.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Delete a model from its worker's disk; refused while an instance there uses it."""
    api_of(url, api_key).delete(f"{PATH}/{file}?cleanup={str(not keep).lower()}")
    say(f"Model file {file} is {'forgotten' if keep else 'deleted'}.")


def _row(file: Json, workers_by_id: dict[int, str]) -> tuple[object, ...]:
    speed, left_s = file["download_speed"], file["download_remaining_s"]
    return (
        file["id"],
        file["name"],
        workers_by_id.get(file["worker_id"]),
        file["state"],
        size_text(file["size"]) if file["size"] is not None else None,
        f"{file['download_progress']:.0f} %",
        f"{speed / 1e6:.1f} MB/s" if speed else None,
        f"{left_s:.0f} s" if left_s is not None else None,
        file["state_message"],
    )


def _wait(api: Api, ident: int) -> None:
    """Says each change. Raises `CliError` if it fails."""
    said = ""
    while (file := api.get(f"{PATH}/{ident}"))["state"] == "downloading":
        words = f"{file['download_progress']:.0f} %"
        if words != said:
            note(words)
        said = words
        time.sleep(POLL_S)
    if file["state"] == "error":
        raise CliError(f"{file['name']}: {file['state_message']}")
    say(f"{file['name']} is at {', '.join(file['resolved_paths'])}.")
