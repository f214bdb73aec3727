"""Where the model of a deployment is: on this machine already, or fetched from Hugging Face."""

import asyncio
import fnmatch
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from modelyard_contracts.deployments import DeploymentSpec, Source

from modelyard_worker_agent.adapters.local_models import find_model, shards_of
from modelyard_worker_agent.ports import DownloadFailed, ModelMissing


class ModelStore:
    """Downloads go below `directory`; `HF_ENDPOINT` and `HF_TOKEN` of the environment count."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def resolve(self, spec: DeploymentSpec, downloading: Callable[[], Awaitable[None]]) -> Path:
        match spec.source:
            case Source.LOCAL_PATH:
                return await asyncio.to_thread(find_model, spec.local_path or "")
            case Source.HUGGINGFACE:
                await downloading()
                return await asyncio.to_thread(
                    self._download, spec.huggingface_repo_id or "", spec.huggingface_filename
                )
            case Source.MODEL_SCOPE:
                raise ModelMissing("models from ModelScope are not supported yet")

    def _download(self, repo: str, pattern: str | None) -> Path:
        """Runs in a thread; resumes what an earlier try left. Raises `ModelMissing`, `DownloadFailed`."""
        try:
            info = HfApi().model_info(repo, files_metadata=True)
            files = {entry.rfilename: entry.size or 0 for entry in info.siblings or []}
            chosen = choose_file(repo, files, pattern)
            for shard in shards_of(Path(chosen)):
                hf_hub_download(repo, str(shard), revision=info.sha, local_dir=self._directory / repo)
        except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
            raise DownloadFailed(f"{repo} cannot be fetched from Hugging Face: {error}") from error
        return self._directory / repo / chosen


def choose_file(repo: str, files: dict[str, int], pattern: str | None) -> str:
    """The file the pattern means; without one, the smallest GGUF of the repository. Raises `ModelMissing`."""
    models = {name: size for name, size in files.items() if name.endswith(".gguf")}
    if not models:
        raise ModelMissing(f"{repo} holds no .gguf file, and llama.cpp serves no other")
    matching = {name: size for name, size in models.items() if fnmatch.fnmatch(name, pattern or "*")}
    if not matching:
        raise ModelMissing(f"{repo} holds no file like {pattern}; it has {', '.join(sorted(models)[:8])}")
    firsts = [name for name in matching if str(shards_of(Path(name))[0]) == name]
    if not firsts:
        raise ModelMissing(f"{repo}: {pattern} names a later part of a split model; name its first")
    return min(firsts, key=lambda name: (matching[name], name))
