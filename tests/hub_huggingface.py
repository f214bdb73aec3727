"""Hugging Face's protocol, as huggingface_hub speaks it."""

import hashlib
import re
from collections.abc import Mapping

from hub_answering import MODIFIED, REPO, Answering, Route


def search(to: Answering, query: Mapping[str, str]) -> None:
    order = {"downloads": "downloads", "likes": "likes"}.get(query.get("sort", ""), "id")
    found = [
        info
        for name in to.hub.repos
        if query.get("search", "").lower() in name.lower()
        and (info := _info(to, name))
        and query.get("pipeline_tag") in (None, info["pipeline_tag"])
        and (query.get("filter") is None or query["filter"] in to.hub.repos[name].tags)
    ]
    found.sort(key=lambda info: info[order], reverse=order != "id")  # type: ignore[arg-type,return-value]
    start, limit = int(query.get("cursor", "0")), min(int(query.get("limit", "100")), 100)
    rest = "&".join(f"{key}={value}" for key, value in query.items() if key != "cursor")
    headers = {}
    if start + limit < len(found):
        headers["Link"] = f'<{to.hub.url}/api/models?{rest}&cursor={start + limit}>; rel="next"'
    to.json(found[start : start + limit], headers=headers)


def model(to: Answering, query: Mapping[str, str], repo: str, revision: str | None = None) -> None:
    if _refused(to, repo, revision):
        return
    siblings = [
        {"rfilename": name, **(_blob(name, body) if "blobs" in query else {})}
        for name, body in to.hub.repos[repo].files.items()
    ]
    to.json({**_info(to, repo), "siblings": siblings})


def _blob(name: str, body: bytes) -> dict[str, object]:
    """Large files are kept apart, by their sha256; others are git objects."""
    if name.endswith((".gguf", ".safetensors")):
        lfs = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
        return {"size": len(body), "lfs": lfs}
    blob = hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False)
    return {"size": len(body), "blobId": blob.hexdigest()}


def file(to: Answering, query: Mapping[str, str], repo: str, revision: str, path: str) -> None:
    if _refused(to, repo, revision, files=True):
        return
    body = to.hub.repos[repo].files.get(path)
    if body is None:
        to.json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        return
    commit = to.hub.repos[repo].commit()
    etag = hashlib.sha256(body).hexdigest()
    to.file(body, {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "X-Linked-Size": str(len(body))})


def _info(to: Answering, name: str) -> dict[str, object]:
    repo = to.hub.repos[name]
    return {
        "id": name,
        "modelId": name,
        "sha": repo.commit(),
        "lastModified": MODIFIED,
        "private": False,
        "gated": "manual" if repo.token else False,
        "downloads": repo.downloads,
        "likes": repo.likes,
        "pipeline_tag": repo.task,
        "tags": list(repo.tags),
    }


def _refused(to: Answering, name: str, revision: str | None, *, files: bool = False) -> bool:
    repo = to.hub.repos.get(name)
    if repo is None or repo.hidden:
        to.json({"error": "Repository not found"}, 401, {"X-Error-Code": "RepoNotFound"})
    elif revision not in (None, "main", repo.commit()):
        to.json({"error": "Invalid rev"}, 404, {"X-Error-Code": "RevisionNotFound"})
    elif files and repo.token and to.token() != repo.token:
        status = 401 if to.token() is None else 403
        to.json({"error": "gated"}, status, {"X-Error-Code": "GatedRepo"})
    else:
        return False
    return True


ROUTES: list[Route] = [
    (re.compile(r"/api/models"), search),
    (re.compile(rf"/api/models/{REPO}/revision/(?P<revision>[^/]+)"), model),
    (re.compile(rf"/api/models/{REPO}"), model),
    (re.compile(rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"), file),
]
