"""Commands over the log in memory: what is written, what is refused, what a repeated command does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from modelyard_api.domain.errors import Refusal
from modelyard_api.handlers.commanding import Commander
from modelyard_api.handlers.deployments import DeploymentHandler
from modelyard_api.ports import WorkerPath
from modelyard_contracts.base import Aggregate
from modelyard_contracts.commands import DeploymentCreate, DeploymentUpdate
from modelyard_contracts.deployments import Source
from modelyard_contracts.envelope import Cause
from modelyard_contracts.events import ClusterCreated, NameClaimed, WorkerRegistered
from modelyard_contracts.models import ModelCoordinates
from modelyard_eventlog.log import Write
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_runtime.secrets import Sealer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class StaleDirectory:
    """Knows no id at all, as read models that are far behind: the log has the last word."""

    async def highest_id(self, aggregate: Aggregate) -> int:
        return 0

    async def default_cluster_id(self) -> int | None:
        return 1

    async def instances_with(self, worker_id: int, model: ModelCoordinates) -> Sequence[str]:
        return []

    async def deployments_on(self, backend: str) -> Sequence[str]:
        return ()

    async def routes_to(self, provider_id: int) -> Sequence[str]:
        return ()


@dataclass
class SomePaths:
    found: set[str] = field(default_factory=lambda: {"/m/a.gguf"})
    workers: tuple[str, ...] = ("box",)
    connected: bool = True

    async def ask_workers(self, path: str) -> Sequence[WorkerPath]:
        there = path in self.found
        message = "it is here" if there else "no such file"
        return [WorkerPath(name, there, self.connected, message) for name in self.workers]


def by(command_id: str, actor: str = "user/1") -> Commander:
    return Commander(actor=actor, command_id=command_id, traceparent=None)


def create(name: str = "chat", **fields: Any) -> DeploymentCreate:
    return DeploymentCreate(name=name, source=Source.LOCAL_PATH, local_path="/m/a.gguf", **fields)


@pytest.fixture
async def log() -> InMemoryEventLog:
    made = InMemoryEventLog()
    cluster = ClusterCreated(cluster_id=1, name="default", is_default=True)
    await made.append([Write(cluster, 0)], Cause("boot", "system/api", "test", NOW, "boot", "boot"))
    return made


@pytest.fixture
def handler(log: InMemoryEventLog) -> DeploymentHandler:
    return DeploymentHandler(log, StaleDirectory(), SomePaths(), Sealer(Sealer.new_key()), lambda: NOW)


async def written(log: InMemoryEventLog) -> list[str]:
    last = (await log.position()).last_seq
    events = [await log.get(seq) for seq in range(2, last + 1)]
    return [event.type for event in events if event is not None]


async def test_a_deployment_comes_with_its_name_and_its_route(
    log: InMemoryEventLog, handler: DeploymentHandler
) -> None:
    done = await handler.create(create(), by("c1"))
    assert done.ident == 1
    assert await written(log) == ["NameClaimed", "DeploymentRequested", "NameClaimed", "RouteCreated"]
    [event] = await log.load(Aggregate.DEPLOYMENT, "1")
    assert (event.actor, event.correlation_id) == ("user/1", "c1")


async def test_ids_are_taken_once_though_the_directory_is_far_behind(handler: DeploymentHandler) -> None:
    first = await handler.create(create("one"), by("c1"))
    second = await handler.create(create("two"), by("c2"))
    assert (first.ident, second.ident) == (1, 2)


async def test_of_many_that_want_one_name_one_gets_it(
    log: InMemoryEventLog, handler: DeploymentHandler
) -> None:
    results = await asyncio.gather(
        *(handler.create(create(), by(f"c{n}")) for n in range(10)), return_exceptions=True
    )
    refusals = [result for result in results if isinstance(result, Refusal)]
    assert len(refusals) == 9
    assert {(refusal.code, refusal.reason) for refusal in refusals} == {(409, "AlreadyExists")}
    assert len(await written(log)) == 4


async def test_a_repeated_command_answers_with_the_first_result(
    log: InMemoryEventLog, handler: DeploymentHandler
) -> None:
    first = await handler.create(create(), by("same"))
    again = await handler.create(create(), by("same"))
    assert again.ident == first.ident
    edited = await handler.update(1, DeploymentUpdate(description="x"), by("edit"), None)
    repeated = await handler.update(1, DeploymentUpdate(description="x"), by("edit"), None)
    assert repeated == edited
    deleted = await handler.delete(1, by("gone"), None)
    assert (await handler.delete(1, by("gone"), None)).ident == deleted.ident
    assert (await written(log)).count("DeploymentDeleted") == 1


async def test_a_path_that_no_worker_has_is_refused_with_what_each_said(
    log: InMemoryEventLog, handler: DeploymentHandler
) -> None:
    command = DeploymentCreate(name="x", source=Source.LOCAL_PATH, local_path="/nope.gguf")
    with pytest.raises(Refusal, match=r"local_path: no worker has /nope.gguf \(box: no such file\)"):
        await handler.create(command, by("c1"))
    assert await written(log) == []


async def test_without_a_ready_worker_nobody_can_say(log: InMemoryEventLog) -> None:
    paths = SomePaths(workers=())
    handler = DeploymentHandler(log, StaleDirectory(), paths, Sealer(Sealer.new_key()), lambda: NOW)
    with pytest.raises(Refusal, match="no worker has joined") as refused:
        await handler.create(create(), by("c1"))
    assert refused.value.code == 422


async def test_a_worker_that_does_not_answer_refuses_nothing_for_good(log: InMemoryEventLog) -> None:
    paths = SomePaths(found=set(), connected=False)
    handler = DeploymentHandler(log, StaleDirectory(), paths, Sealer(Sealer.new_key()), lambda: NOW)
    with pytest.raises(Refusal, match="cannot be told right now") as refused:
        await handler.create(create(), by("c1"))
    assert refused.value.code == 503
    assert await written(log) == []


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ({"gpu_ids": ["box:cuda:0", "bax:cuda:0"]}, "gpu_selector.gpu_ids: no worker is called 'bax'"),
        ({"gpu_ids": ["far:cuda:0"]}, "worker 'far' is in cluster 2, the deployment in 1"),
        ({"gpu_ids": ["box:cuda:0"], "gpus_per_replica": 2}, "gpus_per_replica: 2 of 1 gpu_ids"),
    ],
)
async def test_gpus_of_workers_that_are_not_there_are_refused(
    log: InMemoryEventLog, handler: DeploymentHandler, selector: dict[str, Any], message: str
) -> None:
    for ident, name in enumerate(("box", "far"), start=1):
        fact = WorkerRegistered(
            worker_id=ident,
            name=name,
            worker_uuid=f"u{ident}",
            public_key="U",
            cluster_id=ident,
            hostname=name,
            labels={},
        )
        claimed = NameClaimed(kind=Aggregate.WORKER, name=name, claimed_by=ident)
        await log.append(
            [Write(claimed, 0), Write(fact, 0)], Cause(f"w{ident}", "system/api", "test", NOW, "w", "w")
        )
    made = await handler.create(create(gpu_selector={"gpu_ids": ["box:cuda:7"]}), by("c1"))
    before = await written(log)
    with pytest.raises(Refusal, match=message):
        await handler.create(create("other", gpu_selector=selector), by("c2"))
    with pytest.raises(Refusal, match=message):
        await handler.update(made.ident, DeploymentUpdate(gpu_selector=selector), by("c3"), None)
    assert await written(log) == before


async def test_an_unknown_cluster_is_refused(handler: DeploymentHandler) -> None:
    with pytest.raises(Refusal, match="cluster 7 does not exist"):
        await handler.create(create(cluster_id=7), by("c1"))


async def test_a_rename_takes_the_route_along_and_frees_the_old_name(
    log: InMemoryEventLog, handler: DeploymentHandler
) -> None:
    await handler.create(create("old"), by("c1"))
    await handler.update(1, DeploymentUpdate(name="new", replicas=4), by("c2"), None)
    assert (await written(log))[4:] == [
        "DeploymentScaled",
        "DeploymentUpdated",
        "NameReleased",
        "NameClaimed",
        "RouteChanged",
        "NameReleased",
        "NameClaimed",
    ]
    [_, changed] = await log.load(Aggregate.ROUTE, "1")
    assert changed.data.name == "new"
    assert (await handler.create(create("old"), by("c3"))).ident == 2


async def test_deleting_frees_name_and_route(log: InMemoryEventLog, handler: DeploymentHandler) -> None:
    await handler.create(create(), by("c1"))
    await handler.delete(1, by("c2"), None)
    assert (await written(log))[4:] == ["DeploymentDeleted", "NameReleased", "RouteDeleted", "NameReleased"]
    with pytest.raises(Refusal, match="model 1 does not exist"):
        await handler.update(1, DeploymentUpdate(replicas=1), by("c3"), None)
    assert (await handler.create(create(), by("c4"))).ident == 2


async def test_an_edit_on_an_outdated_version_is_refused(handler: DeploymentHandler) -> None:
    done = await handler.create(create(), by("c1"))
    await handler.update(1, DeploymentUpdate(description="a"), by("c2"), done.seq)
    with pytest.raises(Refusal) as refused:
        await handler.update(1, DeploymentUpdate(description="b"), by("c3"), done.seq)
    assert refused.value.code == 412
