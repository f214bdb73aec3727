"""ModelScope's two protocols, as modelscope's hub client speaks them."""

import hashlib
import re
from collections.abc import Mapping

from hub_answering import MODIFIED, REPO, Answering, Route


def search(to: Answering, query: Mapping[str, str]) -> None:
    found = [_info(to, name) for name in to.hub.repos if query.get("search", "").lower() in name.lower()]
    if query.get("sort") in ("downloads", "likes"):
        found.sort(key=lambda info: info[query["sort"]], reverse=True)  # type: ignore[arg-type,return-value]
    number, size = int(query.get("page_number", "1")), int(query.get("page_size", "10"))
    page = {"models": found[(number - 1) * size : number * size], "total_count": len(found)}
    to.json({"success": True, "data": {**page, "page_number": number, "page_size": size}})


def model(to: Answering, query: Mapping[str, str], repo: str) -> None:
    if not _refused(to, repo):
        to.json({"success": True, "data": _info(to, repo)})


def about(to: Answering, query: Mapping[str, str], repo: str) -> None:
    if not _refused(to, repo):
        to.json(
            {
                "Code": 200,
                "Success": True,
                "Data": {"Name": repo.split("/")[1], "Path": repo.split("/")[0]},
            }
        )


def files(to: Answering, query: Mapping[str, str], repo: str) -> None:
    if _refused(to, repo, query.get("Revision")):
        return
    files = [
        {
            "Name": name.rpartition("/")[2],
            "Path": name,
            "Size": len(body),
            "Sha256": hashlib.sha256(body).hexdigest(),
            "Type": "blob",
            "Revision": to.hub.repos[repo].commit(),
        }
        for name, body in to.hub.repos[repo].files.items()
    ]
    to.json({"Code": 200, "Success": True, "Data": {"Files": files}})


def file(to: Answering, query: Mapping[str, str], repo: str) -> None:
    if _refused(to, repo, query.get("Revision"), files=True):
        return
    body = to.hub.repos[repo].files.get(query["FilePath"])
    if body is None:
        to.json({"Code": 10010205001, "Message": "file not found", "Success": False}, 404)
    else:
        to.file(body, {"X-Linked-ETag": hashlib.sha256(body).hexdigest()})


def revisions(to: Answering, query: Mapping[str, str], repo: str) -> None:
    if not _refused(to, repo):
        branches = [{"Revision": "master"}]
        to.json({"Code": 200, "Success": True, "Data": {"RevisionMap": {"Branches": branches, "Tags": []}}})


def _info(to: Answering, name: str) -> dict[str, object]:
    repo = to.hub.repos[name]
    return {
        "id": name,
        "downloads": repo.downloads,
        "likes": repo.likes,
        "tasks": [repo.task] if repo.task else [],
        "tags": list(repo.tags),
        "last_modified": MODIFIED,
        "gated": bool(repo.token),
    }


def _refused(to: Answering, name: str, revision: str | None = None, *, files: bool = False) -> bool:
    repo = to.hub.repos.get(name)
    if repo is None or repo.hidden:
        to.json({"Code": 10010205001, "Message": "model does not exist", "Success": False}, 404)
    elif revision not in (None, "master"):
        to.json({"Code": 10010205001, "Message": "no such revision", "Success": False}, 404)
    elif files and repo.token and to.token() != repo.token:
        to.json({"Code": 10010202001, "Message": "access denied", "Success": False}, 403)
    else:
        return False
    return True


ROUTES: list[Route] = [
    (re.compile(r"/openapi/v1/models"), search),
    (re.compile(rf"/openapi/v1/models/{REPO}"), model),
    (re.compile(rf"/api/v1/models/{REPO}/repo/files"), files),
    (re.compile(rf"/api/v1/models/{REPO}/repo"), file),
    (re.compile(rf"/api/v1/models/{REPO}/revisions"), revisions),
    (re.compile(rf"/api/v1/models/{REPO}"), about),
]
