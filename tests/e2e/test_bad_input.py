"""Bad input gets a precise refusal and leaves no trace."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.stack import deploy

GOOD: dict[str, Any] = {"name": "bad-input", "source": "local_path", "local_path": "/nowhere/model.gguf"}


async def last_seq(api: httpx.AsyncClient) -> int:
    answer = await api.get("/v2/events", params={"limit": 1, "order": "desc"})
    assert answer.status_code == 200, answer.text
    seq: int = answer.json()["items"][0]["sequence"]
    return seq


@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        ({"colour": "red"}, 422, "colour"),
        ({"replicas": -1}, 422, "replicas"),
        ({"replicas": "many"}, 422, "replicas"),
        ({"name": ""}, 422, "name"),
        ({"name": 5}, 422, "name"),
        ({"source": "floppy"}, 422, "source"),
        ({"local_path": None}, 422, "local_path"),
        ({"local_path": "relative.gguf"}, 422, "local_path"),
        ({"local_path": "/nowhere/model.gguf"}, 422, "/nowhere/model.gguf"),
        ({"backend": "abacus"}, 422, "backend"),
        ({"backend": "nobodys-custom"}, 422, "nobodys-custom"),
        ({"cluster_id": 99}, 404, "cluster"),
        ({"env": {"A": 1}}, 422, "env"),
        ({"env": {"A": "a\0b"}}, 422, "env: holds a NUL character"),
        ({"description": "a\0b"}, 422, "description: holds a NUL character"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_bad_deployment_names_the_field(
    api: httpx.AsyncClient, tiny_model: Path, fields: dict[str, Any], code: int, named: str
) -> None:
    before = await last_seq(api)
    answer = await api.post("/v2/models", json={**GOOD, "local_path": str(tiny_model), **fields})
    assert answer.status_code == code, answer.text
    body = answer.json()
    assert set(body) <= {"code", "reason", "message", "details"}
    assert body["code"] == code
    assert named in body["message"]
    assert await last_seq(api) == before


async def test_a_taken_name_is_refused(api: httpx.AsyncClient, tiny_model: Path) -> None:
    await deploy(api, tiny_model, "taken", replicas=0)
    before = await last_seq(api)
    answer = await api.post("/v2/models", json={**GOOD, "name": "taken", "local_path": str(tiny_model)})
    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")
    assert "taken" in answer.json()["message"]
    assert await last_seq(api) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/999999"),
        ("PUT", "/v2/models/999999"),
        ("DELETE", "/v2/models/999999"),
        ("DELETE", "/v2/model-instances/999999"),
        ("GET", "/v2/model-instances/999999/logs"),
        ("GET", "/v2/model-routes/999999"),
        ("PUT", "/v2/workers/999999"),
        ("DELETE", "/v2/api-keys/999999"),
        ("GET", "/v2/nothing-of-the-kind"),
    ],
)
async def test_what_does_not_exist_is_404(api: httpx.AsyncClient, method: str, path: str) -> None:
    before = await last_seq(api)
    body: dict[str, Any] = {"labels": {}} if "workers" in path else {"replicas": 1}
    answer = await api.request(method, path, json=body if method == "PUT" else None)
    assert answer.status_code == 404, answer.text
    assert answer.json()["reason"] == "NotFound"
    assert await last_seq(api) == before


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v2/models/99999999999999999999", "id: must be less than"),
        ("/v2/models/abc", "id: must be a whole number"),
        ("/v2/models?page=99999999999999999999", "page"),
        ("/v2/events?since=99999999999999999999", "since"),
        ("/v2/usage?key_id=99999999999999999999", "key_id"),
        ("/v2/models?search=%00", "NUL"),
        ("/v2/workers/%00", "NUL"),
    ],
)
async def test_what_postgres_could_not_hold_is_422(api: httpx.AsyncClient, path: str, named: str) -> None:
    answer = await api.get(path)
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["message"]


@pytest.mark.parametrize("body", [b"{not json", b"", b"[1,2]", b'"text"'])
async def test_a_body_that_is_not_a_json_object_is_refused(api: httpx.AsyncClient, body: bytes) -> None:
    before = await last_seq(api)
    answer = await api.post("/v2/models", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["message"]
    assert await last_seq(api) == before


async def test_an_outdated_if_match_changes_nothing(api: httpx.AsyncClient, tiny_model: Path) -> None:
    made = await deploy(api, tiny_model, "matched", replicas=0)
    path = f"/v2/models/{made['id']}"
    tag = (await api.get(path)).headers["etag"]
    await api.put(path, json={"description": "one"}, headers={"If-Match": tag})
    before = await last_seq(api)
    answer = await api.put(path, json={"description": "two"}, headers={"If-Match": tag})
    assert answer.status_code == 412
    assert await last_seq(api) == before


async def test_the_same_idempotency_key_makes_one_deployment(
    api: httpx.AsyncClient, tiny_model: Path
) -> None:
    body = {"name": "once", "source": "local_path", "local_path": str(tiny_model), "replicas": 0}
    headers = {"Idempotency-Key": "make-it-once"}
    first = await api.post("/v2/models", json=body, headers=headers)
    again = await api.post("/v2/models", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["id"] == again.json()["id"]


async def test_everything_but_health_needs_a_key(api: httpx.AsyncClient) -> None:
    for path in ("/v2/models", "/v2/events", "/v2/workers", "/v2/users"):
        answer = await api.get(path, headers={"Authorization": "Bearer modelyard_0000_0000"})
        assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")
    for path in ("/healthz", "/readyz", "/version"):
        assert (await api.get(path, headers={"Authorization": ""})).status_code == 200
