"""Fetches a model from a hub, in a process of its own: it can be ended at any moment and ends with the agent.

    python -m modelyard_worker_agent.launchers.fetch

It reads and writes the lines of `domain.fetching`. Files come to `.parts` first; only what has the right
checksum leaves it. What was fetched in part is taken up again.
"""

import hashlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from modelyard_contracts.base import Contract
from modelyard_contracts.deployments import Source
from modelyard_models.files import BadModel
from modelyard_models.gguf_files import NoSuchFile

from modelyard_worker_agent.domain.fetching import FetchEnd, FetchPlan, FetchRequest, HubFile
from modelyard_worker_agent.domain.repository_files import (
    BadRepository,
    served,
    texts_wanted,
    wanted_files,
)
from modelyard_worker_agent.launchers.hub_clients import (
    HubClient,
    HubFailed,
    HuggingFaceClient,
    ModelScopeClient,
    NotThere,
)

PARTS = ".parts"
CHUNK_BYTES = 1 << 20
TRIES = 2
PROGRESS_S = 5.0


def main() -> NoReturn:
    request = FetchRequest.model_validate_json(sys.stdin.readline())
    note(f"{request.coordinates.location()} is wanted from {request.endpoint}")
    try:
        end = _fetch(request)
    except (NotThere, NoSuchFile) as error:
        end = FetchEnd(end="missing", message=str(error))
    except (HubFailed, BadModel, BadRepository, OSError) as error:
        end = FetchEnd(end="failed", message=str(error))
    _end(end)


def _end(end: FetchEnd) -> NoReturn:
    note(end.message or "every file is here and has the right checksum")
    _say(end)
    os._exit(0)  # other files may still be coming: nobody waits for them


def _fetch(request: FetchRequest) -> FetchEnd:
    hub = _hub(request)
    repo, directory = request.coordinates.repo, Path(request.directory)
    revision, listed = hub.listing(repo, _revision_to_list(request))
    files = {file.path: file for file in listed}
    sizes = {path: file.size for path, file in files.items()}
    read_at = _revision_to_read(request, revision)

    def get(path: str) -> Path:
        return fetch_checked(hub, repo, read_at, files[path], directory)

    texts: Mapping[str, bytes] = {
        path: get(path).read_bytes() for path in texts_wanted(sizes, request.coordinates.file)
    }
    chosen = wanted_files(repo, sizes, request.coordinates.file, texts)
    plan = FetchPlan(revision=revision, files=tuple(files[path] for path in chosen), served=served(chosen))
    note(f"files: {len(chosen)}, bytes: {plan.total_bytes()}, revision: {revision}")
    _say(plan)
    if sys.stdin.readline().strip() != "go":
        os._exit(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threading.Thread(target=_note_progress, args=(directory, plan.total_bytes()), daemon=True).start()
    with ThreadPoolExecutor(request.files_at_once) as threads:
        for fetched in [threads.submit(get, path) for path in chosen]:
            try:
                fetched.result()
            except (HubFailed, NotThere) as error:
                _end(FetchEnd(end="failed", message=str(error)))
            except OSError as error:
                need = _need(plan.total_bytes(), directory)
                _end(FetchEnd(end="failed", message=f"{repo}: {error}: {need}"))
    return FetchEnd(end="done")


def _need(whole_bytes: int, directory: Path) -> str:
    """What a disk lacked that was filled by others meanwhile."""
    here = _bytes_in(directory)
    free = shutil.disk_usage(directory).free
    return f"of {whole_bytes} bytes {max(whole_bytes - here, 0)} are still to come, and {free} are free"


def _bytes_in(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def note(text: str) -> None:
    """To the download's log."""
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}\n")
    sys.stderr.flush()


def _note_progress(directory: Path, total_bytes: int) -> None:
    while True:
        time.sleep(PROGRESS_S)
        with suppress(OSError):  # a file moved at this moment
            note(f"{_bytes_in(directory)} of {total_bytes} bytes are here")


def _hub(request: FetchRequest) -> HubClient:
    if request.coordinates.source is Source.MODEL_SCOPE:
        return ModelScopeClient(request.endpoint, request.token)
    return HuggingFaceClient(request.endpoint, request.token)


def _revision_to_list(request: FetchRequest) -> str | None:
    if request.coordinates.source is Source.MODEL_SCOPE:
        return request.coordinates.revision
    return request.revision or request.coordinates.revision


def _revision_to_read(request: FetchRequest, revision: str) -> str:
    """ModelScope's listing has no commit to read by: there, checksums pin the content."""
    if request.coordinates.source is Source.MODEL_SCOPE:
        return request.coordinates.revision or "master"
    return revision


def fetch_checked(hub: HubClient, repo: str, revision: str, file: HubFile, directory: Path) -> Path:
    """Gives where the file is. Raises `NotThere`, `HubFailed`."""
    target = directory / file.path
    if target.is_file() and target.stat().st_size == file.size:
        return target  # it came here only with the right checksum
    for _ in range(TRIES):
        part = hub.fetch(repo, revision, file, directory / PARTS)
        if is_right(part, file):
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
            note(f"{file.path} is here")
            return target
        note(f"{repo}/{file.path} has another checksum than the hub says")
        part.unlink()
    raise HubFailed(f"{repo}/{file.path}: what came has another checksum than the hub says, {TRIES} times")


def is_right(path: Path, file: HubFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    if file.sha256:
        return _digest(path, hashlib.sha256()) == file.sha256
    if file.git_sha1:
        blob = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        return _digest(path, blob) == file.git_sha1
    return True


def _digest(path: Path, digest: "hashlib._Hash") -> str:
    with path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _say(line: Contract) -> None:
    sys.stdout.write(line.model_dump_json() + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """The agent holds the other end: it closes when the agent ends, in whatever way."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
