"""Who may call which model: by the route's access, and by what the key is for."""

from collections.abc import Iterator

import httpx
import pytest
from modelyard_contracts.access import AccessPolicy, Scope
from modelyard_contracts.events import (
    AllowedModels,
    ApiKeyChanged,
    RouteChanged,
    RouteTarget,
    UserCreated,
    UserDeleted,
)
from modelyard_gateway.domain.record import Record
from modelyard_gateway_facts import route
from modelyard_gateway_world import API_KEY, ModelServer, World, a_key, error_of
from modelyard_runtime import keys

BODY = {"model": "tiny"}


def bearer(key: keys.ApiKey) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.text()}"}


def access(policy: AccessPolicy, *user_ids: int, name: str = "tiny") -> RouteChanged:
    return RouteChanged(
        route_id=42,
        name=name,
        targets=(RouteTarget(deployment_id=1),),
        generic_proxy=True,
        access_policy=policy,
        allowed_user_ids=user_ids,
    )


@pytest.fixture
def finished(world: World) -> Iterator[list[Record]]:
    found: list[Record] = []
    count = world.gateway.plane.on_finished

    def finished(record: Record) -> None:
        found.append(record)
        count(record)

    world.gateway.plane.on_finished = finished
    yield found
    world.gateway.plane.on_finished = count


async def statuses(world: World, headers: dict[str, str]) -> list[int]:
    """Of a model, of both ways of the generic proxy, of the model by name, of the list that names it."""
    client = world.client
    proxied = {**headers, "X-GPUStack-Model": "tiny"}
    asked = [
        await client.post("/v1/completions", json=BODY, headers=headers),
        await client.post("/model/proxy/42/any", json=BODY, headers=headers),
        await client.post("/model/proxy/any", json=BODY, headers=proxied),
        await client.get("/v1/models/tiny", headers=headers),
    ]
    listed = (await client.get("/v1/models", headers=headers)).json()["data"]
    return [answer.status_code for answer in asked] + [len(listed)]


async def test_a_route_for_some_users_is_for_nobody_else(world: World, tiny: ModelServer) -> None:
    named, other, admin = keys.generate(), keys.generate(), keys.generate()
    await world.happen(
        a_key(2, named, user_id=2),
        a_key(3, other, user_id=3),
        UserCreated(user_id=4, username="root", is_admin=True, password_hash=""),
        a_key(4, admin, user_id=4),
        access(AccessPolicy.ALLOWED_PRINCIPALS, 2),
    )
    assert await statuses(world, bearer(named)) == [200, 200, 200, 200, 1]
    assert await statuses(world, bearer(admin)) == [200, 200, 200, 200, 1]
    assert await statuses(world, bearer(other)) == [403, 403, 403, 403, 0]
    refused = await world.client.post("/v1/completions", json={"model": "tiny:law"}, headers=bearer(other))
    assert (refused.status_code, error_of(refused)["code"]) == (403, "model_not_allowed")
    await world.happen(access(AccessPolicy.AUTHED))
    assert await statuses(world, bearer(other)) == [200, 200, 200, 200, 1]
    await world.happen(access(AccessPolicy.ALLOWED_PRINCIPALS), UserDeleted(user_id=4, username="root"))
    assert await statuses(world, bearer(named)) == [403, 403, 403, 403, 0]
    assert (await world.chat()).status_code == 403


async def test_a_public_route_needs_no_key_but_never_a_wrong_one(
    world: World, tiny: ModelServer, finished: list[Record]
) -> None:
    await world.happen(route(7, "private"), access(AccessPolicy.PUBLIC))
    async with httpx.AsyncClient(base_url=world.client.base_url, trust_env=False) as anyone:
        assert [one["id"] for one in (await anyone.get("/v1/models")).json()["data"]] == ["tiny"]
        answer = await anyone.post("/v1/completions", json=BODY)
        assert (answer.status_code, finished[-1].key_id, finished[-1].user_id) == (200, 0, 0)
        assert (await anyone.post("/model/proxy/42/any")).status_code == 200
        unsaid = await anyone.post("/v1/completions", json={"model": "private"})
        assert (unsaid.status_code, error_of(unsaid)["code"]) == (401, "invalid_api_key")
        told = await anyone.get(f"/v2/requests/{answer.headers['x-request-id']}")
        assert told.status_code == 401, "whoever has no key is not known again"
        wrong = keys.ApiKey(API_KEY.access_key, keys.generate().secret)
        assert (await anyone.post("/v1/completions", json=BODY, headers=bearer(wrong))).status_code == 401
        await world.happen(access(AccessPolicy.AUTHED))
        assert (await anyone.post("/v1/completions", json=BODY)).status_code == 401
        assert (await anyone.get("/v1/models")).status_code == 401
    assert (await world.chat()).status_code == 200


async def test_a_changed_key_calls_and_sees_what_it_may_from_then_on(world: World, tiny: ModelServer) -> None:
    def changed(*names: str, scope: tuple[Scope, ...] | None = None) -> ApiKeyChanged:
        return ApiKeyChanged(key_id=1, user_id=1, models=AllowedModels(names=names), scope=scope)

    await world.happen(changed("other"))
    assert await statuses(world, {}) == [403, 403, 403, 403, 0]
    await world.happen(changed("tiny", "other"))
    assert await statuses(world, {}) == [200, 200, 200, 200, 1]
    await world.happen(changed("tiny", scope=(Scope.MANAGEMENT,)))
    assert error_of(await world.chat())["code"] == "key_out_of_scope"


async def test_a_key_for_a_model_outlives_its_new_name_and_gets_no_other_model(
    world: World, tiny: ModelServer
) -> None:
    await world.happen(
        ApiKeyChanged(key_id=1, user_id=1, models=AllowedModels(names=("tiny",))),
        access(AccessPolicy.AUTHED, name="small"),
        route(43, "tiny"),
    )
    assert (await world.chat("small")).status_code == 200
    assert (await world.chat("tiny")).status_code == 403


async def test_an_admin_is_told_of_anybodys_request(world: World, tiny: ModelServer) -> None:
    admin = keys.generate()
    await world.happen(
        UserCreated(user_id=4, username="root", is_admin=True, password_hash=""),
        a_key(4, admin, user_id=4),
    )
    ident = (await world.chat()).headers["x-request-id"]
    told = await world.client.get(f"/v2/requests/{ident}", headers=bearer(admin))
    assert (told.status_code, told.json()["instance_id"]) == (200, 10)
