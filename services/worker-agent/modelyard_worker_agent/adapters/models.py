"""Where the model of a deployment is: on this machine already, or fetched from Hugging Face."""

import asyncio
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from modelyard_contracts.deployments import DeploymentSpec, Source

from modelyard_worker_agent.adapters.local_models import served_model
from modelyard_worker_agent.ports import DownloadFailed, ModelMissing


class ModelStore:
    """Downloads go below `directory`; `HF_ENDPOINT` and `HF_TOKEN` of the environment count.

    What was fetched once is served again without a question to the hub: an instance keeps its model
    across restarts, and restarts while the hub is away.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def resolve(self, spec: DeploymentSpec, downloading: Callable[[], Awaitable[None]]) -> Path:
        match spec.source:
            case Source.LOCAL_PATH:
                return await asyncio.to_thread(served_model, spec.local_path or "")
            case Source.HUGGINGFACE:
                return await self._from_hub(
                    spec.huggingface_repo_id or "", spec.huggingface_filename, downloading
                )
            case Source.MODEL_SCOPE:
                raise ModelMissing("models from ModelScope are not supported yet")

    async def _from_hub(
        self, repo: str, pattern: str | None, downloading: Callable[[], Awaitable[None]]
    ) -> Path:
        directory = self._directory / repo.replace("/", "--")
        asked = hashlib.sha256((pattern or "").encode()).hexdigest()[:16]
        record = directory / f".modelyard-{asked}.json"
        kept = _kept(directory, record)
        if kept is not None:
            return kept
        await downloading()
        files = await _fetch(directory, repo, pattern)
        temporary = record.with_suffix(".tmp")
        temporary.write_text(json.dumps(files))
        temporary.replace(record)
        return directory / files[0]


def _kept(directory: Path, record: Path) -> Path | None:
    """The first file of an earlier fetch, if all of it is still there."""
    try:
        files: list[str] = json.loads(record.read_text())
    except (OSError, ValueError):
        return None
    return directory / files[0] if all((directory / name).is_file() for name in files) else None


async def _fetch(directory: Path, repo: str, pattern: str | None) -> list[str]:
    """In a process of its own, which ends with the wish for the model. Raises `ModelMissing`,
    `DownloadFailed`."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "modelyard_worker_agent.launchers.fetch"]
    command += [f"--directory={directory}", f"--repo={repo}", *([f"--file={pattern}"] if pattern else [])]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        answer: dict[str, object] = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise DownloadFailed(f"{repo} cannot be fetched from Hugging Face: {last}") from None
    if "missing" in answer:
        raise ModelMissing(str(answer["missing"]))
    files = answer.get("files")
    if not isinstance(files, list):
        raise DownloadFailed(str(answer.get("failed")))
    return [str(name) for name in files]
