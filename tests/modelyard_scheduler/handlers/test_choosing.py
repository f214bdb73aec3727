"""Of the GGUF models in a repository the smallest good one is served that there is room for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_shapes import model_sizes, write_sparse
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.events import (
    DeploymentFileChosen,
    InstanceScheduled,
    InstanceUnschedulable,
    ModelInspected,
)
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_scheduler.adapters.models import ModelSources
from modelyard_scheduler.domain.replaying import Replay
from modelyard_scheduler.handlers.inspection import InspectionHandler
from modelyard_scheduler_cluster import Cluster
from modelyard_scheduler_looking import looked_at, place, sources
from modelyard_scheduler_world import GIB, inventory, ready, registered, requested

PARAMETERS = ("--ctx-size=4096", "--cache-ram=0")
SPARE = 4 << 20


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files of real sizes that hold their headers alone."""
    found = tmp_path_factory.mktemp("models")
    small, large = model_sizes()["qwen3-0.6b"], model_sizes()["llama-3.2-1b"]
    write_sparse(found / "m-Q2_K.gguf", small, "Q4_0")
    write_sparse(found / "m-Q3_K_M.gguf", large, "Q4_0")
    write_sparse(found / "m-Q4_K_M.gguf", large, "Q4_K_M")
    write_sparse(found / "m-F16.gguf", large, "F16")
    return found


@pytest.fixture
def local(tmp_path: Path) -> Iterator[ModelSources]:
    with sources(tmp_path) as found:
        yield found


def spec_of(directory: Path, **changed: object) -> DeploymentSpec:
    spec = DeploymentSpec(source=Source.LOCAL_PATH, local_path=str(directory), backend_parameters=PARAMETERS)
    return spec.model_copy(update=changed)


def machine(ram_bytes: int, ident: int = 1) -> tuple[Event, ...]:
    return registered(ident), ready(ident), inventory(ident, ram_bytes=ram_bytes, reserved_bytes=0)


async def settle(cluster: Cluster, local: ModelSources, *instance_ids: int) -> None:
    """Until nothing more is looked at: place, look at what was chosen, place."""
    async with cluster.scheduler() as scheduler:
        handler = InspectionHandler(scheduler.decider, local)
        for _ in range(4):
            await place(scheduler, handler, *instance_ids)
            await looked_at(handler)


async def needed(directory: Path, local: ModelSources, name: str) -> int:
    """Main memory that an instance of that file takes."""
    cluster = Cluster(InMemoryEventLog())
    await cluster.tell(*machine(64 * GIB), requested(5, spec=spec_of(directory / name)))
    await settle(cluster, local, 5)
    (placed,) = await cluster.facts(InstanceScheduled)
    assert await cluster.facts(DeploymentFileChosen) == []
    return int(placed.claim.ram_bytes)


@pytest.mark.parametrize(
    ("room_for", "chosen"),
    [("m-Q4_K_M.gguf", "m-Q4_K_M.gguf"), ("m-Q3_K_M.gguf", "m-Q3_K_M.gguf"), ("m-Q2_K.gguf", "m-Q2_K.gguf")],
)
async def test_the_smallest_good_file_that_fits_is_chosen_and_wanted(
    cluster: Cluster, directory: Path, local: ModelSources, room_for: str, chosen: str
) -> None:
    await cluster.tell(*machine(await needed(directory, local, room_for) + SPARE))
    await cluster.tell(*(requested(ident, spec=spec_of(directory)) for ident in (5, 6)))
    await settle(cluster, local, 5, 6)

    (placed,) = await cluster.facts(InstanceScheduled)
    assert placed.claim.ram_bytes == await needed(directory, local, chosen)
    (want,) = cluster.outside.wants.values()
    assert want.spec.local_path == f"{directory}/{chosen}"
    told = (await cluster.facts(DeploymentFileChosen))[-1]
    assert (told.file, told.deployment_id) == (chosen, 3)
    assert told.message.startswith("the smallest" if "Q4" in chosen else "the best that there is room for")
    await replays(cluster)


def served(cluster: Cluster) -> dict[int, str]:
    """By instance."""
    wants = cluster.outside.wants.values()
    return {want.instance_id: Path(want.spec.local_path or "").name for want in wants}


async def replays(cluster: Cluster) -> None:
    story = await cluster.story()
    replay = Replay()
    replay.add(story)
    decisions = [
        event for event in story if isinstance(event.data, InstanceScheduled | InstanceUnschedulable)
    ]
    assert all(replay.decide(event).identical for event in decisions)


async def test_what_waits_is_chosen_for_anew_when_there_is_more_room_and_replicas_follow_the_first(
    cluster: Cluster, directory: Path, local: ModelSources
) -> None:
    await cluster.tell(*machine(GIB // 4), requested(5, spec=spec_of(directory)))
    await settle(cluster, local, 5)
    (waits,) = await cluster.facts(InstanceUnschedulable)
    assert [reason.check for reason in waits.reasons] == ["ram"]
    await cluster.tell(*machine(await needed(directory, local, "m-Q3_K_M.gguf") + SPARE, 2))
    await settle(cluster, local, 5)
    await cluster.tell(*machine(64 * GIB, 3), requested(6, spec=spec_of(directory)))
    await settle(cluster, local, 6)

    assert [one.file for one in await cluster.facts(DeploymentFileChosen)] == ["m-Q2_K.gguf", "m-Q3_K_M.gguf"]
    assert served(cluster) == {5: "m-Q3_K_M.gguf", 6: "m-Q3_K_M.gguf"}
    await replays(cluster)


async def test_only_the_workers_that_may_be_used_count(
    cluster: Cluster, directory: Path, local: ModelSources
) -> None:
    small = await needed(directory, local, "m-Q2_K.gguf")
    await cluster.tell(*machine(64 * GIB, 1), registered(2, labels={"at": "edge"}), ready(2))
    await cluster.tell(inventory(2, ram_bytes=small, reserved_bytes=0))
    edge = spec_of(directory, worker_selector={"at": "edge"})
    await cluster.tell(requested(5, spec=edge), requested(6, deployment_id=4, spec=spec_of(directory)))
    await settle(cluster, local, 5, 6)

    placed = {one.instance_id: one for one in await cluster.facts(InstanceScheduled)}
    assert (placed[5].worker_name, placed[6].worker_name) == ("w2", "w1")
    assert served(cluster) == {5: "m-Q2_K.gguf", 6: "m-Q4_K_M.gguf"}


async def test_a_file_that_somebody_named_is_never_changed(
    cluster: Cluster, directory: Path, local: ModelSources
) -> None:
    await cluster.tell(*machine(GIB), requested(5, spec=spec_of(directory / "m-F16.gguf")))
    await settle(cluster, local, 5)

    assert await cluster.facts(DeploymentFileChosen) == []
    (waits,) = await cluster.facts(InstanceUnschedulable)
    assert [reason.check for reason in waits.reasons] == ["ram"]
    (seen,) = await cluster.facts(ModelInspected)
    assert (seen.facts.file, seen.facts.choices) == ("m-F16.gguf", ())
