"""ModelScope, through modelscope's hub client: its open API for facts and search, its older one for files."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from modelscope_hub.api import HubApi
from modelscope_hub.config import HubConfig
from modelscope_hub.errors import (
    APIError,
    AuthenticationError,
    HubError,
    InvalidParameter,
    NotExistError,
    PermissionDeniedError,
)
from modelscope_hub.types import RepoInfo

from modelyard_models.sources.errors import BadAnswer, BadCoordinates, Denied, NotThere, SourceError
from modelyard_models.sources.ms_client import bounded, stream_of
from modelyard_models.sources.port import Found, FoundModel, Repository, Search, Sort

DEFAULT_REVISION = "master"
SORTS = {Sort.LIKES: "likes", Sort.DOWNLOADS: "downloads", Sort.UPDATED: "last_modified"}
DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class ModelScope:
    place: str
    """The endpoint, without a slash at its end."""
    token: str | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    name: str = "model_scope"

    def search(self, wanted: Search) -> Found:
        with self._named(f"search for {wanted.text!r}"), self._api() as api:
            page = api.list_repos(
                "model",
                search=wanted.text or None,
                sort=SORTS.get(wanted.sort),
                page_number=wanted.page,
                page_size=wanted.per_page,
                task=wanted.task,
                library=wanted.format,
            )
            found = tuple(_found(info) for info in page.items)
            return Found(
                models=found,
                has_more=wanted.page * wanted.per_page < page.total_count,
                total=page.total_count,
            )

    def repository(self, repo: str, revision: str | None) -> Repository:
        if repo.count("/") != 1 or not all(repo.split("/")):
            raise BadCoordinates(f"{repo!r} is no name of a ModelScope model: it is owner/name")
        with self._named(repo, revision), self._api() as api:
            listed = revision or DEFAULT_REVISION
            found = _found(api.get_repo(repo, "model"))
            files = [
                entry for entry in api.list_repo_files(repo, "model", revision=listed) if entry.type == "blob"
            ]
            hashes = sorted((entry.path, entry.size, entry.sha256 or entry.blob_id) for entry in files)
            return Repository(
                **{**found.model_dump(), "id": repo},
                revision=listed,
                pinned=hashlib.sha256(json.dumps(hashes).encode()).hexdigest(),
                sizes={entry.path: int(entry.size or 0) for entry in files},
            )

    def read(self, repository: Repository, path: str, start: int, length: int) -> bytes:
        revision = repository.revision or DEFAULT_REVISION
        with self._named(f"{repository.id}/{path}"), self._api() as api:
            url = api.legacy.get_download_url(repository.id, "model", path, revision)
            return stream_of(api.legacy, url, start, length)

    def _api(self) -> AbstractContextManager[HubApi]:
        return bounded(HubApi(HubConfig(endpoint=self.place, token=self.token or "")), self.proxy)

    @contextmanager
    def _named(self, what: str, revision: str | None = None) -> Iterator[None]:
        """Turns what the library raises into one of our errors, which says what was asked."""
        at = f"{what} at {self.place}"
        try:
            yield
        except SourceError as error:
            error.args = (f"{at}: {error}",)
            raise
        except NotExistError as error:
            raise NotThere(
                f"{at} does not exist, or has no revision {revision or DEFAULT_REVISION!r}"
            ) from error
        except (AuthenticationError, PermissionDeniedError) as error:
            raise Denied(
                f"{at} is refused: it is gated or private, and needs a token that may read it "
                "(MODELSCOPE_API_TOKEN)"
            ) from error
        except InvalidParameter as error:
            raise BadCoordinates(f"{at} cannot be asked for: {error.args[0]}") from error
        except APIError as error:
            raise BadAnswer(f"{at}: refused with status {error.status_code}") from error
        except HubError as error:
            raise BadAnswer(f"{at}: {error.args[0]}") from error
        except DAMAGED as error:
            raise BadAnswer(f"{at}: the answer makes no sense: {error}") from error


def _found(info: RepoInfo) -> FoundModel:
    return FoundModel(
        id=str(info.repo_id),
        downloads=int(info.downloads or 0),
        likes=int(info.likes or 0),
        updated_at=_instant(info.last_modified),
        task=next((str(task) for task in info.tasks or ()), None),
        tags=_tags(info),
        gated=bool(info.gated),
    )


def _tags(info: RepoInfo) -> tuple[str, ...]:
    """With the licence in the spelling of Hugging Face."""
    said = [tag for tag in info.tags or () if isinstance(tag, str)]
    return (*said, *([f"license:{info.license.lower()}"] if isinstance(info.license, str) else []))


def _instant(value: Any) -> datetime | None:
    """The library gives what it could not read as it is."""
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
