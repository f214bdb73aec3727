"""A picture that went through a snapshot is the picture that folded every event itself."""

import json
from pathlib import Path

import pytest
from modelyard_contracts.base import Event
from modelyard_contracts.envelope import parse_data
from modelyard_contracts.events import EVENT_TYPES
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.snapshot import Unreadable, decoded, encoded, taken
from modelyard_scheduler_gpus import GPU_SPEC, gpu_worker, known
from modelyard_scheduler_world import (
    GIB,
    deleted,
    deployment,
    failed,
    inspected,
    lost,
    record,
    released,
    removed,
    requested,
    reserved,
    restart_scheduled,
    running,
    scaled,
    scheduled,
    starting,
    told,
    unschedulable,
    worker,
)

GOLDEN = Path(__file__).parents[2] / "modelyard_contracts" / "golden"
STORY: list[Event] = [
    *worker(1),
    *worker(2),
    *gpu_worker(3, 80, 80),
    inspected(),
    known(15 * GIB),
    deployment(3, replicas=2),
    deployment(4, spec=GPU_SPEC),
    requested(5),
    requested(6),
    requested(7, deployment_id=4, spec=GPU_SPEC),
    reserved(5, worker_id=1),
    scheduled(5, worker_id=1),
    unschedulable(6),
    reserved(7, worker_id=3),
    scheduled(7, worker_id=3, deployment_id=4),
    starting(),
    running(),
    failed(),
    restart_scheduled(),
    scaled(1),
    lost(1),
    removed(5, worker_lost=True),
    released(5, worker_id=1),
    deleted(4),
]


def restored(picture: Picture) -> Picture:
    return decoded(encoded(taken(picture)))


@pytest.mark.parametrize("cut", range(len(STORY)))
def test_wherever_a_snapshot_is_taken_what_follows_comes_to_the_same(cut: int) -> None:
    picture = restored(told(*STORY[:cut]))
    for seq, event in enumerate(STORY[cut:], start=cut + 1):
        picture.apply(record(event, seq))
    assert_same(picture, told(*STORY))


def test_whatever_the_log_tells_of_survives_it() -> None:
    beginnings = ("Requested", "Registered")
    names = [name for name in EVENT_TYPES if not name.endswith(("Deleted", "Removed"))]
    names.sort(key=lambda name: (not name.endswith(beginnings), name))
    whole = told(*(sample(name) for name in names))
    assert all((whole.deployments, whole.workers, whole.models, whole.model_files, whole.backends))
    assert whole.choices
    assert whole.hub_tokens
    assert whole.fleet.seq
    assert_same(restored(whole), whole)


def sample(name: str) -> Event:
    version = EVENT_TYPES[name].version
    return parse_data(name, version, json.loads((GOLDEN / f"{name}.v{version}.json").read_text()))


def test_replicas_share_one_spec_afterwards_too() -> None:
    picture = restored(told(deployment(3), requested(5), requested(6)))
    assert {id(state.spec) for state in picture.instances.values()} == {id(picture.deployments[3].spec)}


@pytest.mark.parametrize("data", [b"", b"nonsense", encoded(taken(Picture()))[:-9]])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decoded(data)


def assert_same(one: Picture, other: Picture) -> None:
    assert encoded(taken(one)) == encoded(taken(other))
    assert [(room.worker, room.free, room.ram_free, room.crowd) for room in one.rooms.everyone()] == [
        (room.worker, room.free, room.ram_free, room.crowd) for room in other.rooms.everyone()
    ]
    assert one.unplaced() == other.unplaced()
    for ident in one.deployments:
        assert one.instances_of(ident) == other.instances_of(ident)
    for ident in one.workers:
        assert one.instances_on(ident) == other.instances_on(ident)
