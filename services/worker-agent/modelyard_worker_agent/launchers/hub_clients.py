"""The hubs' own clients, as the process that fetches uses them: lists of files, and one file at a time."""

import errno
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx2
import requests
from huggingface_hub import HfApi, constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils._headers import build_hf_headers
from modelscope_hub.api import HubApi
from modelscope_hub.config import HubConfig
from modelscope_hub.errors import AuthenticationError, HubError, NotExistError, PermissionDeniedError

from modelyard_worker_agent.domain.fetching import HubFile


class NotThere(Exception):
    """The repository, revision or file does not exist, or is hidden from who asks."""


class HubFailed(Exception):
    """The hub refused, could not be reached, or gave up."""


def raise_if_disk_full(error: Exception) -> None:
    """That is none of the hub's doing."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise error


class HubClient(Protocol):
    def listing(self, repo: str, revision: str | None) -> tuple[str, list[HubFile]]:
        """The revision it is pinned to, and every file. Raises `NotThere`, `HubFailed`."""
        ...

    def fetch(self, repo: str, revision: str, file: HubFile, parts: Path) -> Path:
        """Fetches what is still missing of a file to its place below `parts`, and gives that.

        Raises `NotThere`, `HubFailed`.
        """
        ...


@dataclass(frozen=True, slots=True)
class HuggingFaceClient:
    endpoint: str
    token: str | None

    def listing(self, repo: str, revision: str | None) -> tuple[str, list[HubFile]]:
        with self._named(repo):
            api = HfApi(endpoint=self.endpoint, token=self.token or False, library_name="modelyard")
            info = api.model_info(repo, revision=revision, files_metadata=True)
            files = [
                HubFile(
                    path=entry.rfilename,
                    size=int(entry.size or 0),
                    sha256=entry.lfs.sha256 if entry.lfs else None,
                    git_sha1=None if entry.lfs else entry.blob_id,
                )
                for entry in info.siblings or []
            ]
            if not info.sha:
                raise HubFailed(f"{repo}: Hugging Face names no commit")
            return info.sha, files

    def fetch(self, repo: str, revision: str, file: HubFile, parts: Path) -> Path:
        """Taken up where an earlier process ended; the client itself would begin anew."""
        target = parts / file.path
        with self._named(f"{repo}/{file.path}"):
            if file.size > constants.MAX_HTTP_DOWNLOAD_SIZE:  # the hub serves these in chunks only
                hf_hub_download(
                    repo, file.path, revision=revision, local_dir=parts, token=self.token or False
                )
                return target
            target.parent.mkdir(parents=True, exist_ok=True)
            url = hf_hub_url(repo, file.path, revision=revision, endpoint=self.endpoint)
            headers = build_hf_headers(token=self.token or False, library_name="modelyard")
            with target.open("ab") as out:
                if out.tell() > file.size:
                    out.truncate(0)
                http_get(url, out, resume_size=out.tell(), headers=headers, expected_size=file.size)
        return target

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        at = f"{what} cannot be fetched from Hugging Face"
        try:
            yield
        except HFValidationError as error:
            raise NotThere(f"{what!r} is no name of a Hugging Face repository: {error}") from error
        except GatedRepoError as error:
            raise HubFailed(
                f"{at}: it is gated; accept its terms there, and give this worker a token of that account "
                "(--huggingface-token)"
            ) from error
        except (RevisionNotFoundError, EntryNotFoundError) as error:
            raise NotThere(f"{at}: there is no such revision or file") from error
        except RepositoryNotFoundError as error:
            raise NotThere(
                f"{at}: it does not exist, or is private; then this worker needs a token "
                "(--huggingface-token)"
            ) from error
        except HfHubHTTPError as error:
            raise HubFailed(f"{at}: refused with status {error.response.status_code}") from error
        except (httpx2.HTTPError, OSError) as error:
            raise_if_disk_full(error)
            raise HubFailed(f"{at}: {error or type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class ModelScopeClient:
    endpoint: str
    token: str | None

    def listing(self, repo: str, revision: str | None) -> tuple[str, list[HubFile]]:
        with self._named(repo):
            listed = self._api().list_repo_files(repo, "model", revision=revision or "master")
            files = [
                HubFile(path=entry.path, size=int(entry.size or 0), sha256=entry.sha256 or None)
                for entry in listed
                if entry.type == "blob"
            ]
        hashes = sorted((file.path, file.size, file.sha256) for file in files)
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest(), files

    def fetch(self, repo: str, revision: str, file: HubFile, parts: Path) -> Path:
        with self._named(f"{repo}/{file.path}"):
            return self._api().download_file(
                repo, "model", file.path, revision=revision, local_dir=parts, file_size=file.size
            )

    def _api(self) -> HubApi:
        return HubApi(HubConfig(endpoint=self.endpoint, token=self.token or ""))

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        at = f"{what} cannot be fetched from ModelScope"
        try:
            yield
        except NotExistError as error:
            raise NotThere(f"{at}: there is no such model, revision or file") from error
        except (AuthenticationError, PermissionDeniedError) as error:
            raise HubFailed(
                f"{at}: it is gated or private; this worker needs a token that may read it "
                "(--modelscope-token)"
            ) from error
        except HubError as error:
            raise HubFailed(f"{at}: {error.args[0] if error.args else error}") from error
        except (requests.RequestException, OSError) as error:
            raise_if_disk_full(error)
            raise HubFailed(f"{at}: {error}") from error
