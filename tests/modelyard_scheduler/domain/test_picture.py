from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.events import (
    ModelFileDownloaded,
    ModelFileDownloading,
    ModelFileEvicted,
    ModelFileFailed,
    NameClaimed,
    WorkerDiskRoomChanged,
)
from modelyard_contracts.models import coordinates_of
from modelyard_placement.place import Placement, place_in
from modelyard_scheduler.domain.instance import Phase
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.snapshot import decoded, encoded, taken
from modelyard_scheduler_world import (
    GIB,
    SPEC,
    deletion_requested,
    deployment,
    inspected,
    record,
    released,
    removed,
    requested,
    reserved,
    running,
    scheduled,
    starting,
    told,
    unschedulable,
    worker,
)


def test_it_knows_what_belongs_where() -> None:
    picture = told(deployment(), *worker(), requested(5), scheduled(5), requested(6), unschedulable(6))
    assert [state.instance_id for state in picture.instances_of(3)] == [5, 6]
    assert [state.instance_id for state in picture.instances_on(1)] == [5]
    assert [state.instance_id for state in picture.unplaced()] == [6]


def test_its_position_is_the_last_event_whatever_it_was_about() -> None:
    claimed = NameClaimed(kind=Aggregate.DEPLOYMENT, name="chat", claimed_by=3)
    assert told(deployment(), claimed).position == 2


def test_of_equal_workers_the_one_that_has_the_files_is_taken() -> None:
    spec = DeploymentSpec(
        source=Source.HUGGINGFACE, huggingface_repo_id="org/chat", huggingface_filename="a.gguf"
    )
    model = coordinates_of(spec)
    there = ModelFileDownloaded(worker_id=2, model=model, revision="r", size_bytes=1, path="/models/chat")
    gone = ModelFileEvicted(worker_id=2, model=model, made_room_for="org/other")
    waits = requested(5, spec=spec)
    assert _home(told(*worker(1), *worker(2), waits)) == 1
    assert _home(told(*worker(1), *worker(2), there, waits)) == 2
    assert _home(told(*worker(1), *worker(2), there, gone, waits)) == 1
    assert _home(told(there, *worker(1), *worker(2), waits)) == 2


def test_models_take_their_disk_from_when_their_instances_are_placed() -> None:
    spec = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/chat", backend="vLLM")
    model = coordinates_of(spec)
    room = WorkerDiskRoomChanged(worker_id=1, room_bytes=20 * GIB)
    placed = [
        *worker(1),
        room,
        inspected(spec, weight_bytes=15 * GIB),
        *(fact for ident in (5, 6) for fact in (requested(ident, spec=spec), reserved(ident))),
    ]
    comes = ModelFileDownloading(worker_id=1, model=model, revision="r", size_bytes=15 * GIB)
    there = ModelFileDownloaded(worker_id=1, model=model, revision="r", size_bytes=1, path="/models/chat")
    failed = ModelFileFailed(worker_id=1, model=model, message="reset by peer")
    less = WorkerDiskRoomChanged(worker_id=1, room_bytes=5 * GIB)
    assert _disk_free(told(*placed)) == 5 * GIB, "each model once"
    assert _disk_free(told(*placed, comes)) == 5 * GIB, "what is measured does not count it yet"
    assert _disk_free(told(*placed, comes, less)) == 5 * GIB
    assert _disk_free(told(*placed, comes, less, failed)) == -10 * GIB
    assert _disk_free(told(*placed, comes, less, there)) == 5 * GIB
    assert _disk_free(told(*placed, released(5), released(6))) == 20 * GIB
    kept = told(*placed, comes, less)
    assert _disk_free(decoded(encoded(taken(kept)))) == _disk_free(kept)


def _disk_free(picture: Picture) -> int | None:
    room = picture.rooms.room(1)
    assert room is not None
    return room.disk_free()


def _home(picture: Picture) -> int | None:
    found = place_in(picture.rooms, picture.demand(picture.instances[5], None))
    return found.worker.ident if isinstance(found, Placement) else None


def test_a_removed_instance_is_dropped_and_its_id_never_used_again() -> None:
    picture = told(deployment(), requested(5), scheduled(5), removed(5))
    assert picture.instances == {}
    assert (picture.instances_of(3), picture.instances_on(1), picture.leftovers) == ([], [], {})
    assert picture.highest_instance_id == 5


def test_what_may_be_left_on_a_lost_worker_is_remembered() -> None:
    picture = told(deployment(), *worker(), requested(5), scheduled(5), removed(5, worker_lost=True))
    assert picture.leftovers[5].worker_id == 1
    assert picture.leftovers[5].phase is Phase.REMOVED


def test_what_was_never_placed_leaves_nothing_behind() -> None:
    assert told(requested(5), removed(5, worker_lost=True)).leftovers == {}


def test_a_wish_about_an_instance_that_is_gone_changes_nothing() -> None:
    assert told(requested(5), removed(5), deletion_requested(5)).instances == {}


STORY: tuple[Event, ...] = (
    deployment(replicas=2),
    *worker(),
    requested(5),
    reserved(5),
    scheduled(5),
    requested(6),
    unschedulable(6),
    starting(),
    running(),
    removed(5, worker_lost=True),
    released(5),
    removed(6),
)


def shown(picture: Picture) -> dict[str, object]:
    rooms = [(room.worker, room.holdings, room.ram_free) for room in picture.rooms.everyone()]
    return {**vars(picture), "rooms": rooms}


@given(cut=st.integers(0, len(STORY)))
def test_folding_in_two_parts_gives_the_same_picture(cut: int) -> None:
    whole = told(*STORY)
    parts = Picture()
    for seq, event in enumerate(STORY[:cut], start=1):
        parts.apply(record(event, seq))
    for seq, event in enumerate(STORY[cut:], start=cut + 1):
        parts.apply(record(event, seq))
    assert shown(parts) == shown(whole)


def test_what_is_known_of_a_model_is_found_by_what_a_deployment_says() -> None:
    other = SPEC.model_copy(update={"local_path": "/models/b.gguf"})
    instances = (requested(5), requested(6, spec=other))
    picture = told(*instances)
    assert picture.facts_of(picture.instances[5]) is None
    picture = told(*instances, inspected(weight_bytes=1), inspected(weight_bytes=2))
    facts = picture.facts_of(picture.instances[5])
    assert facts is not None
    assert facts.weight_bytes == 2
    assert picture.facts_of(picture.instances[6]) is None
