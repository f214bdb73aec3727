"""Targets that are asked when others could not answer, and providers among them."""

import base64
import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from modelyard_contracts.base import Event
from modelyard_contracts.events import FallbackStatus, RouteOptions, RouteTarget
from modelyard_gateway_facts import provider, route_to, running
from modelyard_gateway_world import (
    TEST_SETTINGS,
    ModelServer,
    Seen,
    World,
    dead_port,
    error_of,
    gateway_world,
    model_servers,
    read_body,
    serving,
)
from modelyard_runtime.secrets import Sealer
from starlette.types import Receive, Send

BOTH = (FallbackStatus.TOO_MANY, FallbackStatus.FAILED)
OWN = RouteTarget(deployment_id=1)
SPARE = RouteTarget(target_id=1, deployment_id=2, fallback_status_codes=BOTH)
KEY = Sealer.new_key()
SETTINGS = TEST_SETTINGS.model_copy(update={"secret_key": KEY})


def elsewhere(name: str = "large", *codes: FallbackStatus, weight: int = 100) -> RouteTarget:
    return RouteTarget(
        target_id=2, provider_id=5, overridden_model_name=name, weight=weight, fallback_status_codes=codes
    )


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(certificate.public_bytes(pem))
    private = serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
    return files


def answering(status: int) -> ModelServer:
    async def answer(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        headers = [(b"content-length", b"2"), (b"openai-organization", b"ours")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"no"})

    return ModelServer(f"always {status}", answer)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_failed_is_asked_of_the_fallback(world: World, status: int) -> None:
    bad, spare = answering(status), ModelServer("spare")
    async with model_servers(bad, spare):
        await world.happen(
            route_to(OWN, SPARE), running(1, port=bad.port), running(2, deployment_id=2, port=spare.port)
        )
        answer = await world.chat()
        told = (await world.client.get(f"/v2/requests/{answer.headers['x-request-id']}")).json()
    assert answer.json()["server"] == "spare"
    assert told["reason"] == f"fallback after {status}"
    assert [attempt["outcome"] for attempt in told["failed_attempts"]] == [f"status {status}"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_what_the_client_did_wrong_goes_to_no_fallback(world: World, status: int) -> None:
    bad, spare = answering(status), ModelServer("spare")
    async with model_servers(bad, spare):
        await world.happen(
            route_to(OWN, SPARE), running(1, port=bad.port), running(2, deployment_id=2, port=spare.port)
        )
        assert (await world.chat()).status_code == status
    assert spare.seen == []


async def test_where_nobody_runs_or_listens_the_fallback_answers(world: World) -> None:
    spare = ModelServer("spare")
    async with model_servers(spare):
        await world.happen(route_to(OWN, SPARE), running(2, deployment_id=2, port=spare.port))
        assert (await world.chat()).json()["server"] == "spare"
        with dead_port() as port:
            await world.happen(running(1, port=port))
            records = [(await world.chat()).headers["x-request-id"] for _ in range(3)]
            told = [(await world.client.get(f"/v2/requests/{ident}")).json() for ident in records]
    assert [len(one["failed_attempts"]) for one in told] == [1, 0, 0]  # then its circuit is open
    assert len(spare.seen) == 4


async def test_a_full_queue_and_a_late_answer_go_to_the_fallback(world: World) -> None:
    async def never(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        await receive()

    mute, spare = ModelServer("mute", never), ModelServer("spare")
    options = RouteOptions(max_running_requests=1, queue_size=0, first_byte_timeout_s=1.0)
    async with model_servers(mute, spare):
        await world.happen(
            route_to(OWN, SPARE, options=options),
            running(1, port=mute.port),
            running(2, deployment_id=2, port=spare.port),
        )
        world.gateway.balancer._slot(world.gateway.table.instances.endpoints[1], 0.0).in_flight = 1
        full = await world.chat()
        assert full.json()["server"] == "spare"
        world.gateway.balancer._slot(world.gateway.table.instances.endpoints[1], 0.0).in_flight = 0
        late = await world.chat()
        told = (await world.client.get(f"/v2/requests/{late.headers['x-request-id']}")).json()
    assert late.json()["server"] == "spare"
    assert told["reason"] == "fallback after 504"


def at_provider(server: ModelServer, *targets: RouteTarget) -> list[Event]:
    sealed = Sealer(KEY).seal("sk-theirs")
    return [provider(5, f"http://127.0.0.1:{server.port}/api/v1", sealed), route_to(*targets)]


async def test_a_provider_gets_its_own_key_its_own_name_and_nothing_of_the_client() -> None:
    server = ModelServer("provider")
    async with gateway_world(settings=SETTINGS) as world, model_servers(server):
        await world.happen(*at_provider(server, elsewhere()))
        answer = await world.client.post(
            "/v1/chat/completions?a=b",
            json={"model": "tiny", "messages": []},
            headers={"X-Forwarded-For": "10.0.0.7", "OpenAI-Organization": "theirs", "Cookie": "a=b"},
        )
    assert answer.json()["server"] == "provider"
    assert answer.headers["x-modelyard-provider"] == "5"
    [seen] = server.seen
    assert seen.target == b"/api/v1/chat/completions?a=b"
    assert seen.body == b'{"model":"large","messages":[]}'
    assert seen.header("authorization") == ["Bearer sk-theirs"]
    known = {b"host", b"authorization", b"accept", b"content-type", b"content-length", b"user-agent"}
    assert {name for name, _ in seen.headers} == known | {b"x-request-id"}


async def test_a_provider_has_its_share_by_weight_and_is_no_target_of_the_generic_proxy() -> None:
    server, own = ModelServer("provider"), ModelServer("own")
    async with gateway_world(settings=SETTINGS) as world, model_servers(server, own):
        events = at_provider(server, OWN, elsewhere(weight=300))
        routed = route_to(OWN, elsewhere(weight=300), generic_proxy=True)
        await world.happen(events[0], routed, running(1, port=own.port))
        for _ in range(20):
            assert (await world.chat()).status_code == 200
        assert (len(own.seen), len(server.seen)) == (5, 15)
        for _ in range(5):
            assert (await world.client.get("/model/proxy/1/v1/files")).json()["server"] == "own"
    assert len(server.seen) == 15


async def test_a_provider_that_refuses_our_key_is_our_failure_not_the_clients() -> None:
    server = answering(401)
    async with gateway_world(settings=SETTINGS) as world, model_servers(server):
        await world.happen(*at_provider(server, elsewhere()))
        answer = await world.chat()
        assert (answer.status_code, error_of(answer)["code"]) == (502, "provider_refused")
        teapot = answering(422)
        async with model_servers(teapot):
            await world.happen(*at_provider(teapot, elsewhere()))
            passed = await world.chat()
    assert (passed.status_code, "openai-organization" in passed.headers) == (422, False)


async def test_a_provider_behind_tls_must_show_a_certificate_that_is_trusted(
    tmp_path: Path,
) -> None:
    certificate, key = self_signed(tmp_path)
    server = ModelServer("provider")
    config = uvicorn.Config(
        server, log_config=None, ws="none", lifespan="off", ssl_certfile=certificate, ssl_keyfile=key
    )
    tls = uvicorn.Server(config)
    tls.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    async with serving(tls) as port:
        asked = [provider(5, f"https://localhost:{port}/v1"), route_to(elsewhere())]
        async with gateway_world(settings=SETTINGS) as world:
            await world.happen(*asked)
            untrusted = await world.chat()
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        believing = SETTINGS.model_copy(update={"ca": base64.b64encode(der).decode()})
        async with gateway_world(settings=believing) as world:
            await world.happen(*asked)
            trusted = await world.chat()
    assert (untrusted.status_code, error_of(untrusted)["code"]) == (502, "instance_unreachable")
    assert trusted.json()["server"] == "provider"
