"""Models are looked at once, beside everything else; what cannot be looked at says why."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.events import InstanceUnschedulable, ModelInspected
from modelyard_contracts.models import ModelCoordinates, ModelFacts, ModelFormat
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_scheduler.handlers.inspection import InspectionHandler
from modelyard_scheduler.ports import NotInspected
from modelyard_scheduler_cluster import Cluster
from modelyard_scheduler_world import SPEC, requested, worker

HUB = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/tiny")


@dataclass
class Sources:
    """Answers when it is let."""

    why_not: str | None = None
    asked: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def inspect(
        self, coordinates: ModelCoordinates, sealed_token: str | None, worker_ids: Collection[int]
    ) -> ModelFacts:
        self.asked.append((coordinates.location(), tuple(worker_ids)))
        await self.go.wait()
        if self.why_not is not None and sealed_token is None:
            raise NotInspected(self.why_not)
        return ModelFacts(location=coordinates.location(), format=ModelFormat.GGUF, weight_bytes=9)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(InMemoryEventLog())


async def done(handler: InspectionHandler, sources: Sources) -> None:
    sources.go.set()
    while handler.running:
        await asyncio.sleep(0)


async def test_a_model_is_looked_at_once_however_many_wait(cluster: Cluster) -> None:
    await cluster.tell(*worker(), requested(5, spec=HUB), requested(6, spec=HUB))
    async with cluster.scheduler() as scheduler:
        sources = Sources()
        handler = InspectionHandler(scheduler.decider, sources)
        assert handler.placeable([5, 6]) == []
        assert handler.placeable([5, 6]) == []
        await done(handler, sources)
        assert sources.asked == [("org/tiny", (1,))]
        assert handler.placeable([5, 6, 7]) == [5, 6]
    (fact,) = await cluster.facts(ModelInspected)
    assert fact.facts.weight_bytes == 9
    assert fact.coordinates.repo == "org/tiny"


async def test_what_cannot_be_looked_at_is_said_once_and_tried_again_later_and_later(
    cluster: Cluster,
) -> None:
    await cluster.tell(requested(5, spec=HUB))
    async with cluster.scheduler() as scheduler:
        sources = Sources(why_not="org/tiny is gated")
        handler = InspectionHandler(scheduler.decider, sources)
        for wait_s in (0, 4.9, 0.2, 9.9, 0.2):
            cluster.clock.forward(wait_s)
            assert handler.placeable([5]) == []
            await done(handler, sources)
        assert len(sources.asked) == 3
        (told,) = await cluster.facts(InstanceUnschedulable)
        assert told.message == "The model cannot be inspected: org/tiny is gated"
        assert [reason.check for reason in told.reasons] == ["model_metadata"]
        sources.why_not = None
        cluster.clock.forward(60)
        handler.placeable([5])
        await done(handler, sources)
        assert handler.placeable([5]) == [5]


async def test_of_a_path_that_nobody_has_placement_tells(cluster: Cluster) -> None:
    await cluster.tell(requested(5, spec=SPEC))
    async with cluster.scheduler() as scheduler:
        sources = Sources(why_not="nobody has it")
        handler = InspectionHandler(scheduler.decider, sources)
        placed: list[list[int]] = []

        async def place_waiting() -> None:
            placed.append(handler.placeable([5]))

        handler.after = place_waiting
        assert handler.placeable([5]) == []
        await done(handler, sources)
        assert placed == [[5]]
    assert await cluster.facts(InstanceUnschedulable) == []


async def test_a_model_that_another_scheduler_looked_at_is_not_stated_again(cluster: Cluster) -> None:
    await cluster.tell(requested(5, spec=HUB))
    async with cluster.scheduler() as one, cluster.scheduler() as other:
        sources = Sources()
        handlers = [InspectionHandler(each.decider, sources) for each in (one, other)]
        for handler in handlers:
            handler.placeable([5])
        for handler in handlers:
            await done(handler, sources)
    assert len(await cluster.facts(ModelInspected)) == 1


async def test_who_has_a_token_does_not_wait_for_who_has_none(cluster: Cluster) -> None:
    await cluster.tell(requested(5, spec=HUB))
    async with cluster.scheduler() as scheduler:
        sources = Sources(why_not="org/tiny is gated")
        handler = InspectionHandler(scheduler.decider, sources)
        handler.placeable([5])
        await done(handler, sources)
        await cluster.tell(requested(6, spec=HUB.model_copy(update={"env": {"HF_TOKEN": "sealed"}})))
        await scheduler.decider.feed.catch_up()

        assert handler.placeable([5, 6]) == []
        await done(handler, sources)

        assert handler.placeable([5, 6]) == [5, 6]
    assert len(await cluster.facts(ModelInspected)) == 1
