"""A worker reaches its own subjects and no other: tried on a real server with the real clients."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats
import nats.errors
import pytest
from conftest import NatsServer, free_port
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.messages import Heartbeat, Observation, PathAnswer, PathQuestion, Want
from modelyard_eventlog import subjects
from modelyard_eventlog.connection import connect
from modelyard_eventlog.credentials import (
    BadPublicKey,
    NatsKeys,
    creds_text,
    mint_worker_jwt,
    new_keys,
    new_user_seed,
    public_key,
    server_config,
    service_credentials,
    worker_inbox_prefix,
)
from modelyard_eventlog.desired import DesiredState
from modelyard_eventlog.heartbeats import Heartbeats
from modelyard_eventlog.observations import Observations
from modelyard_eventlog.provision import provision
from modelyard_eventlog.questions import Questions
from modelyard_eventlog.wire import encode
from modelyard_runtime.settings import NatsSettings
from nats.aio.client import Client


@dataclass
class GuardedServer(NatsServer):
    """nats-server as `server_config` writes it."""

    keys: NatsKeys = field(default_factory=new_keys)

    def start(self) -> None:
        config = self.directory / "nats.conf"
        config.write_text(
            server_config(self.keys, host="127.0.0.1", port=self.port, store_dir=self.directory / "js")
        )
        binary = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"
        with (self.directory / "nats.log").open("ab") as log:
            self.process = subprocess.Popen([binary, "-c", str(config)], stdout=log, stderr=log)

    def service_settings(self) -> NatsSettings:
        return self._settings("service", service_credentials(self.keys.account_seed, "api"))

    def worker_settings(self, worker_id: int, *, expires_in: timedelta = timedelta(hours=1)) -> NatsSettings:
        seed = new_user_seed()
        jwt = mint_worker_jwt(
            self.keys.account_seed, public_key(seed), worker_id, datetime.now(UTC) + expires_in
        )
        return self._settings(f"worker-{worker_id}", creds_text(jwt, seed))

    def _settings(self, name: str, credentials: str) -> NatsSettings:
        path = self.directory / f"{name}.creds"
        path.write_text(credentials)
        return NatsSettings(nats=self.url, nats_credentials=path)


@dataclass
class Refusals:
    """What the server said it would not let a client do."""

    texts: list[str] = field(default_factory=list)

    async def on_error(self, error: Exception) -> None:
        self.texts.append(str(error).lower())

    async def expect(self, words: str) -> None:
        async with asyncio.timeout(5):
            while not any(words.lower() in text for text in self.texts):
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    guarded = GuardedServer(tmp_path_factory.mktemp("guarded"), free_port())
    guarded.start()
    asyncio.run(guarded.wait_until_ready())
    yield guarded
    guarded.kill()


@pytest.fixture
async def service(server: GuardedServer) -> AsyncIterator[Client]:
    client = await connect(server.service_settings(), name="service")
    await provision(client)
    yield client
    await client.close()


@asynccontextmanager
async def worker(server: GuardedServer, worker_id: int) -> AsyncIterator[tuple[Client, Refusals]]:
    refusals = Refusals()
    client = await nats.connect(
        server.url,
        user_credentials=str(server.worker_settings(worker_id).nats_credentials),
        inbox_prefix=worker_inbox_prefix(worker_id).encode(),
        error_cb=refusals.on_error,
        pending_size=0,
    )
    yield client, refusals
    await client.close()


async def sent(client: Client) -> None:
    """The server has had all that `client` was to send: nats-py's first PING overtakes what still waits."""
    await client.flush()
    await client.flush()


def want(worker_id: int, instance_id: int) -> Want:
    spec = DeploymentSpec(source=Source.LOCAL_PATH, local_path="/models/a.gguf")
    return Want(
        instance_id=instance_id,
        deployment_id=1,
        worker_id=worker_id,
        name=f"a-{instance_id}",
        deployment_name="a",
        state="running",
        spec=spec,
        correlation_id="c",
        actor="user/1",
    )


def observation(worker_id: int) -> Observation:
    return Observation(
        id=f"observation-{worker_id}",
        worker_id=worker_id,
        event_type="InstanceStarting",
        version=1,
        data={"instance_id": 5},
        observed_at=datetime.now(UTC),
        correlation_id="c",
        causation_id="c",
        actor="user/1",
    )


async def test_a_worker_does_all_that_an_agent_needs(server: GuardedServer, service: Client) -> None:
    await DesiredState(service).put(want(1, 5))
    async with worker(server, 1) as (client, refusals):
        await Observations(client).publish(observation(1))
        beats = await service.subscribe(subjects.heartbeat(1))
        await sent(service)
        await Heartbeats(client, ttl_s=5).beat(Heartbeat(worker_id=1, session="s", sent_at=datetime.now(UTC)))
        assert Heartbeat.model_validate_json((await beats.next_msg(5)).data).worker_id == 1

        async def answer(question: PathQuestion) -> PathAnswer:
            return PathAnswer(found=True, message=question.path)

        await Questions(client).answer(1, "path", PathQuestion, answer)
        await sent(client)
        answered = await Questions(service).ask(1, "path", PathQuestion(path="/x"), PathAnswer)
        assert answered.message == "/x"

        async with asyncio.timeout(10):
            async for wanted in DesiredState(client).follow(1):
                assert wanted.instance_id == 5
                break
        assert refusals.texts == []


@pytest.mark.parametrize(
    "subject",
    [
        "obs.2.5.InstanceRunning",
        "hb.2",
        "log.2.5",
        "evt.deployment.3",
        "want.1.5",
        "ask.2.path",
        "timer.set.restart.1",
        "$JS.API.STREAM.DELETE.EVT",
        "$JS.API.STREAM.MSG.GET.EVT",
        "$JS.API.STREAM.PURGE.DESIRED",
        "$JS.API.DIRECT.GET.DESIRED.want.2.5",
        "$JS.API.CONSUMER.CREATE.EVT.c.evt.>",
        "$JS.API.CONSUMER.CREATE.DESIRED.c.want.2.*",
        "$JS.API.CONSUMER.CREATE.DESIRED.c",
        "$JS.API.CONSUMER.NAMES.DESIRED",
    ],
)
async def test_a_worker_may_not_publish(server: GuardedServer, service: Client, subject: str) -> None:
    seen = await service.subscribe(subject.replace("*", "x"))
    await sent(service)
    async with worker(server, 1) as (client, refusals):
        await client.publish(subject, b"{}")
        await sent(client)
        await refusals.expect(f'permissions violation for publish to "{subject}"')
    await sent(service)
    assert seen.pending_msgs == 0


@pytest.mark.parametrize(
    "subject",
    ["evt.>", "obs.1.>", "want.1.*", "ask.2.*", "ask.>", "_INBOX_w2.>", "_INBOX.>", "hb.*", ">", "$SYS.>"],
)
async def test_a_worker_may_not_listen(server: GuardedServer, subject: str) -> None:
    async with worker(server, 1) as (client, refusals):
        await client.subscribe(subject)
        await sent(client)
        await refusals.expect(f'permissions violation for subscription to "{subject}"')


async def test_a_worker_cannot_wipe_the_heartbeats_of_others(server: GuardedServer, service: Client) -> None:
    beat = Heartbeat(worker_id=2, session="s", sent_at=datetime.now(UTC))
    await Heartbeats(service, ttl_s=60).beat(beat)
    async with worker(server, 1) as (client, _):
        for scope in ("sub", "all"):
            answer = await client.request(
                subjects.heartbeat(1), b"{}", headers={"Nats-Rollup": scope}, timeout=5
            )
            assert "error" in json.loads(answer.data)
    kept = await service.jetstream().get_last_msg(subjects.HB, subjects.heartbeat(2))
    assert kept.data == encode(beat)


async def test_a_consumer_cannot_ask_for_more_than_its_subject_says(
    server: GuardedServer, service: Client
) -> None:
    await DesiredState(service).put(want(2, 9))
    async with worker(server, 1) as (client, _):
        config = {"name": "sly", "ack_policy": "none", "filter_subject": "want.2.*", "mem_storage": True}
        reply = await client.request(
            "$JS.API.CONSUMER.CREATE.DESIRED.sly.want.1.*",
            json.dumps({"stream_name": "DESIRED", "config": config, "action": "create"}).encode(),
            timeout=5,
        )
        assert "error" in json.loads(reply.data)


async def expect_refusal(server: GuardedServer, credentials: Path | None) -> None:
    client = Client()
    login = {"user_credentials": str(credentials)} if credentials else {}
    try:
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await client.connect(server.url, allow_reconnect=False, **login)  # type: ignore[arg-type]
    finally:
        await client.close()


async def test_nobody_connects_without_credentials(server: GuardedServer) -> None:
    await expect_refusal(server, None)


async def test_credentials_of_another_installation_are_refused(server: GuardedServer, tmp_path: Path) -> None:
    path = tmp_path / "other.creds"
    path.write_text(service_credentials(new_keys().account_seed, "api"))
    await expect_refusal(server, path)


async def test_a_worker_is_out_when_its_jwt_has_expired(server: GuardedServer) -> None:
    settings = server.worker_settings(3, expires_in=timedelta(seconds=-5))
    await expect_refusal(server, settings.nats_credentials)


@pytest.mark.parametrize(
    "key",
    ["", "nonsense", "U" * 56, public_key(new_keys().account_seed), public_key(new_user_seed())[:-1] + "1"],
    ids=["none", "nonsense", "no checksum", "an account's", "not base32"],
)
def test_only_a_users_public_key_gets_a_jwt(key: str) -> None:
    with pytest.raises(BadPublicKey):
        mint_worker_jwt(new_keys().account_seed, key, 1, datetime.now(UTC))
