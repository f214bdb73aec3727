"""Hugging Face, and mirrors that speak its protocol, through huggingface_hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from huggingface_hub import HfApi, ModelInfo, get_session, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import hf_raise_for_status
from huggingface_hub.utils._validators import validate_repo_id

from modelyard_models.sources.errors import BadAnswer, BadCoordinates, Denied, NotThere, Offline, SourceError
from modelyard_models.sources.hf_client import named_faults
from modelyard_models.sources.port import Found, FoundModel, Repository, Search, Sort

SORTS = {Sort.LIKES: "likes", Sort.DOWNLOADS: "downloads", Sort.UPDATED: "last_modified"}
DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What the library raises on an answer that is not what it should be."""


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """`hf_client.install` comes first."""

    place: str
    """The endpoint, without a slash at its end."""
    token: str | None = field(default=None, repr=False)
    name: str = "huggingface"

    def search(self, wanted: Search) -> Found:
        """Pages are counted by their items: the hub's own pages are chained by cursors."""
        start = (wanted.page - 1) * wanted.per_page
        end = start + wanted.per_page
        with self._named(f"search for {wanted.text!r}"):
            models = self._api().list_models(
                search=wanted.text or None,
                sort=SORTS.get(wanted.sort),  # type: ignore[arg-type] # a str of its Literal
                pipeline_tag=wanted.task,
                filter=wanted.format,
                limit=end + 1,
            )
            found = [_found(info) for info in islice(models, start, end + 1)]
        return Found(models=tuple(found[: wanted.per_page]), has_more=len(found) > wanted.per_page)

    def repository(self, repo: str, revision: str | None) -> Repository:
        with self._named(repo, revision):
            validate_repo_id(repo)
            info = self._api().model_info(repo, revision=revision, files_metadata=True)
            sizes = {entry.rfilename: int(entry.size or 0) for entry in info.siblings or []}
            found = _found(info)
            if not info.sha:
                raise BadAnswer(f"{repo}: {self.place} names no commit")
            return Repository(**found.model_dump(), revision=info.sha, pinned=info.sha, sizes=sizes)

    def read(self, repository: Repository, path: str, start: int, length: int) -> bytes:
        with self._named(f"{repository.id}/{path}"), named_faults():
            url = hf_hub_url(repository.id, path, revision=repository.revision, endpoint=self.place)
            headers = build_hf_headers(token=self.token or False, library_name="modelyard")
            headers["Range"] = f"bytes={start}-{start + length - 1}"
            with get_session().stream("GET", url, headers=headers) as response:
                if response.status_code == 416:
                    return b""
                hf_raise_for_status(response)
                if start and response.status_code != 206:
                    raise BadAnswer(f"{self.place} does not serve parts of files")
                return _first(response.iter_raw(), length)

    def _api(self) -> HfApi:
        return HfApi(endpoint=self.place, token=self.token or False, library_name="modelyard")

    @contextmanager
    def _named(self, what: str, revision: str | None = None) -> Iterator[None]:
        """Turns what the library raises into one of our errors, which says what was asked."""
        at = f"{what} at {self.place}"
        try:
            yield
        except SourceError as error:
            error.args = (f"{at}: {error}",)
            raise
        except HFValidationError as error:
            raise BadCoordinates(f"{what!r} is no name of a Hugging Face repository: {error}") from error
        except OfflineModeIsEnabled as error:
            raise Offline(f"HF_HUB_OFFLINE is set: would have asked for {at}") from error
        except GatedRepoError as error:
            raise Denied(
                f"{at} is gated: accept its terms there, and give a token of that account (HF_TOKEN)"
            ) from error
        except RevisionNotFoundError as error:
            raise NotThere(f"{at} has no revision {revision!r}") from error
        except EntryNotFoundError as error:
            raise NotThere(f"{at} does not exist") from error
        except RepositoryNotFoundError as error:
            raise NotThere(
                f"{at} does not exist, or is private: then a token is needed (HF_TOKEN)"
            ) from error
        except HfHubHTTPError as error:
            raise _refused(at, error) from error
        except DAMAGED as error:
            raise BadAnswer(f"{at}: the answer makes no sense: {error}") from error


def _refused(at: str, error: HfHubHTTPError) -> SourceError:
    status = error.response.status_code
    if status in (401, 403):
        return Denied(f"{at} is refused ({status}): the token (HF_TOKEN) is wrong or may not read it")
    if status == 404:
        return NotThere(f"{at} does not exist")
    return BadAnswer(f"{at}: refused with status {status}")


def _found(info: ModelInfo) -> FoundModel:
    return FoundModel(
        id=info.id,
        downloads=info.downloads or 0,
        likes=info.likes or 0,
        updated_at=info.last_modified,
        task=info.pipeline_tag,
        tags=tuple(info.tags or ()),
        gated=bool(info.gated),
    )


def _first(chunks: "Iterator[bytes] | Any", length: int) -> bytes:
    taken = bytearray()
    for chunk in chunks:
        taken += chunk
        if len(taken) >= length:
            break
    return bytes(taken[:length])
