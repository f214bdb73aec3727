"""What must always hold of a placement, attacked by generators."""

from collections import Counter
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from modelyard_contracts.deployments import Backend, PlacementStrategy, Reason
from modelyard_placement.demand import Demand
from modelyard_placement.index import Index
from modelyard_placement.picture import Holding, Picture, WorkerView
from modelyard_placement.place import MOST_REASONS, Placement, Unplaceable, place, place_in
from modelyard_placement_world import (
    GIB,
    RAM_BESIDE_DEVICES,
    demand,
    demands,
    device,
    held,
    pictures,
    sizer,
    worker,
    workers,
)

EVERY = settings(max_examples=100, deadline=None)


def found_in(picture: Picture, wanted: Demand) -> Placement | Unplaceable:
    return place(wanted, picture, sizer=sizer())


def of_worker(picture: Picture, ident: int) -> WorkerView:
    return next(worker for worker in picture.workers if worker.ident == ident)


def free_bytes(picture: Picture, ident: int, key: str) -> int:
    """Of a device, added up from scratch."""
    found = of_worker(picture, ident)
    [device] = [one for one in found.devices if one.key == key]
    claims = [holding.claim for holding in picture.holdings if holding.worker == ident]
    taken = sum(claim.held_bytes(key) for claim in claims)
    free = device.total_bytes - taken - max(device.foreign_bytes, device.reserved_bytes)
    return min(free, free_ram(picture, ident)) if found.is_unified_memory else free


def free_ram(picture: Picture, ident: int) -> int:
    found = of_worker(picture, ident)
    claims = [holding.claim for holding in picture.holdings if holding.worker == ident]
    taken = sum(claim.ram_bytes for claim in claims)
    if found.is_unified_memory:
        taken += sum(claim.held_bytes(key) for claim in claims for key in claim.vram_bytes)
    return found.ram_total_bytes - taken - max(found.ram_foreign_bytes, found.ram_reserved_bytes)


def stands_open(one: WorkerView, wanted: Demand) -> bool:
    """Whether anything but room stands against the worker."""
    has_backend = one.backends is None or wanted.backend in (*one.backends, Backend.CUSTOM)
    has_files = "org/repo" in one.files or one.disk_free_bytes is None
    weights = wanted.model.weight_bytes if wanted.model else 0
    has_disk = has_files or weights <= (one.disk_free_bytes or 0)
    labels = wanted.spec.worker_selector.items()
    fits_labels = all(one.labels.get(key) == value for key, value in labels)
    return one.state == "ready" and not one.maintenance and has_backend and has_disk and fits_labels


def settled(picture: Picture, found: Placement, wanted: Demand, instance: object) -> Picture:
    parts = [(found.worker.ident, found.claim), *((one.worker_id, one.claim) for one in found.subordinates)]
    held = tuple(Holding(str(instance), wanted.deployment, ident, claim) for ident, claim in parts)
    return replace(picture, holdings=(*picture.holdings, *held))


@EVERY
@given(picture=pictures(2), wanted=st.lists(demands(), min_size=2, max_size=8))
def test_claims_never_exceed_a_device_or_a_worker(picture: Picture, wanted: list[Demand]) -> None:
    for number, one in enumerate(wanted):
        found = found_in(picture, one)
        if not isinstance(found, Placement):
            continue
        picture = settled(picture, found, one, f"new {number}")
        parts = [(found.worker.ident, found.claim), *((s.worker_id, s.claim) for s in found.subordinates)]
        for ident, claim in parts:
            assert free_ram(picture, ident) >= 0
            assert all(free_bytes(picture, ident, key) >= 0 for key in claim.vram_bytes)


@EVERY
@given(
    picture=pictures(2), gib=st.sampled_from([2, 4, 6, 8]), policy=st.sampled_from(list(PlacementStrategy))
)
def test_a_device_with_room_is_never_missed(picture: Picture, gib: int, policy: PlacementStrategy) -> None:
    wanted = demand(gib, policy=policy)
    found = found_in(picture, wanted)
    needed = gib * GIB
    fitting = [
        (one.ident, device.key)
        for one in picture.workers
        if stands_open(one, wanted)
        for device in one.devices
        if free_bytes(picture, one.ident, device.key) >= needed
        if free_ram(picture, one.ident) >= RAM_BESIDE_DEVICES + (needed if one.is_unified_memory else 0)
    ]
    if fitting:
        assert isinstance(found, Placement)
        assert (found.worker.ident, *found.claim.vram_bytes) in fitting
    elif isinstance(found, Placement):
        assert found.strategy != "one_device"


@EVERY
@given(picture=pictures(), wanted=demands(), data=st.data())
def test_the_order_of_what_is_told_never_matters(
    picture: Picture, wanted: Demand, data: st.DataObject
) -> None:
    shuffled = Picture(
        tuple(data.draw(st.permutations(picture.workers))),
        tuple(data.draw(st.permutations(picture.holdings))),
    )
    assert found_in(shuffled, wanted) == found_in(picture, wanted)


@EVERY
@given(picture=pictures(), wanted=demands())
def test_the_names_of_workers_never_matter(picture: Picture, wanted: Demand) -> None:
    renamed = replace(
        picture, workers=tuple(replace(one, name=f"x{97 - one.ident}") for one in picture.workers)
    )
    before, after = found_in(picture, wanted), found_in(renamed, wanted)
    if isinstance(before, Placement):
        assert isinstance(after, Placement)
        assert (before.worker.ident, before.claim) == (after.worker.ident, after.claim)
    else:
        assert isinstance(after, Unplaceable)
        assert [one.check for one in before.reasons] == [one.check for one in after.reasons]


@EVERY
@given(picture=pictures(4), wanted=demands(), another=workers(9))
def test_another_worker_never_makes_unfit_what_fitted(
    picture: Picture, wanted: Demand, another: WorkerView
) -> None:
    assume(isinstance(found_in(picture, wanted), Placement))
    assert isinstance(found_in(replace(picture, workers=(*picture.workers, another)), wanted), Placement)


@EVERY
@given(picture=pictures(), world=st.sampled_from([2, 4, 6, 8]), gib=st.sampled_from([8, 16, 24]))
def test_a_group_is_placed_whole_or_not_at_all(picture: Picture, world: int, gib: int) -> None:
    wanted = demand(gib, Backend.VLLM, backend_parameters=(f"--tensor-parallel-size={world}",))
    found = found_in(picture, wanted)
    if isinstance(found, Unplaceable):
        return
    claims = [found.claim, *(part.claim for part in found.subordinates)]
    assert sum(len(claim.vram_bytes) for claim in claims) == world
    assert len({len(claim.vram_bytes) for claim in claims}) == 1
    idents = [found.worker.ident, *(part.worker_id for part in found.subordinates)]
    assert len(set(idents)) == len(idents)


def members(picture: Picture, wanted: Demand, each: int) -> Counter[tuple[str, int]]:
    """By kind of device, the workers of which `each` devices have room for half a card. Two halves fill it:
    no room for contexts is asked beside them."""
    found: Counter[tuple[str, int]] = Counter()
    for one in picture.workers:
        kinds = Counter(
            (device.type, device.total_bytes)
            for device in one.devices
            if free_bytes(picture, one.ident, device.key) >= device.total_bytes // 2
        )
        for kind, count in kinds.items():
            needed = RAM_BESIDE_DEVICES
            if one.is_unified_memory:
                needed += each * (kind[1] // 2)
            if stands_open(one, wanted) and count >= each and free_ram(picture, one.ident) >= needed:
                found[kind] += 1
    return found


def groups(picture: Picture, wanted: Demand, world: int, gib: int) -> set[tuple[int, int]]:
    """Devices of each worker and workers: every group of equals that there is room for."""
    return {
        (each, world // each)
        for each in range(1, world + 1)
        if world % each == 0
        for (_, total), count in members(picture, wanted, each).items()
        if count >= world // each and gib * GIB // world <= total // 2
    }


@EVERY
@given(picture=pictures(), world=st.sampled_from([1, 2, 4, 6]), gib=st.sampled_from([2, 8, 16, 24]))
def test_a_group_with_room_is_never_missed(picture: Picture, world: int, gib: int) -> None:
    """Whole workers before several: the fewest workers, then the fewest devices of each."""
    wanted = demand(gib, Backend.VLLM, backend_parameters=(f"--pipeline-parallel-size={world}",))
    found = found_in(picture, wanted)
    possible = groups(picture, wanted, world, gib)
    if not possible:
        assert isinstance(found, Unplaceable) or len({*mixed(found, picture)}) > 1
        return
    assert isinstance(found, Placement)
    if len({*mixed(found, picture)}) == 1:
        spanned = 1 + len(found.subordinates)
        assert (len(found.claim.vram_bytes), spanned) == max(possible)


def mixed(found: Placement, picture: Picture) -> list[int]:
    """The sizes of the primary's devices: a worker alone may use unlike ones."""
    devices = of_worker(picture, found.worker.ident).devices
    return [device.total_bytes for device in devices if device.key in found.claim.vram_bytes]


@st.composite
def uneven_choices(draw: st.DrawFn) -> tuple[Picture, tuple[str, ...]]:
    """A few workers with cards of a size, some of which others hold a part of; and some of all cards."""
    fleet = [
        worker(
            ident,
            *(
                device(at, foreign=draw(st.sampled_from([0, 0, 0, 5])))
                for at in range(draw(st.integers(1, 4)))
            ),
        )
        for ident in range(1, draw(st.integers(2, 3)) + 1)
    ]
    every = [f"{one.name}:{card.key}" for one in fleet for card in one.devices]
    count = draw(st.integers(2, len(every)))
    return Picture(tuple(fleet)), tuple(draw(st.permutations(every))[:count])


@EVERY
@given(choice=uneven_choices(), gib=st.sampled_from([2, 8]))
def test_gpus_chosen_unevenly_are_a_group_or_nothing(
    choice: tuple[Picture, tuple[str, ...]], gib: int
) -> None:
    picture, chosen = choice
    world = len(chosen)
    found = found_in(picture, demand(gib, Backend.VLLM, gpu_ids=chosen, gpus_per_replica=world))
    free = [
        one.foreign_bytes == 0
        for owner in picture.workers
        for one in owner.devices
        if f"{owner.name}:{one.key}" in chosen
    ]
    assert isinstance(found, Placement) == (all(free) and gib * GIB // world <= 4 * GIB)
    if isinstance(found, Placement):
        claims = {found.worker.ident: found.claim, **{s.worker_id: s.claim for s in found.subordinates}}
        used = {f"w{ident}:{key}" for ident, claim in claims.items() for key in claim.vram_bytes}
        assert used == set(chosen)


def mended(picture: Picture, reason: Reason, backend: Backend) -> Picture:
    """The picture without the shortfall that a reason tells of. vLLM takes half of each card."""
    share = 2 if backend is Backend.VLLM else 1
    return replace(
        picture,
        workers=tuple(
            _mended(one, reason, share) if one.name == reason.worker else one for one in picture.workers
        ),
    )


def _mended(one: WorkerView, reason: Reason, share: int) -> WorkerView:
    lacks = 0
    if isinstance(reason.needed, int) and isinstance(reason.available, int):
        lacks = reason.needed - reason.available
        assert lacks > 0
    match reason.check:
        case "state":
            return replace(one, state="ready")
        case "maintenance":
            return replace(one, maintenance=False)
        case "backend":
            return replace(one, backends=None)
        case "disk":
            return replace(one, disk_free_bytes=(one.disk_free_bytes or 0) + lacks)
        case "labels":
            return replace(one, labels={"zone": "a"})
        case "vram":
            more = tuple(
                replace(device, total_bytes=device.total_bytes + share * lacks)
                if device.key == reason.device
                else device
                for device in one.devices
            )
            return replace(one, devices=more)
        case "ram":
            return replace(one, ram_total_bytes=one.ram_total_bytes + lacks)
        case "devices":
            more = tuple(device(index, 16) for index in range(10, 10 + lacks))
            return replace(one, devices=(*one.devices, *more))
        case _:
            return one


@EVERY
@given(
    picture=pictures(3),
    gib=st.sampled_from([6, 12, 20, 90]),
    backend=st.sampled_from([Backend.CUSTOM, Backend.VOXBOX, Backend.VLLM]),
    labels=st.sampled_from([{}, {"zone": "a"}]),
)
def test_the_reasons_are_true(picture: Picture, gib: int, backend: Backend, labels: dict[str, str]) -> None:
    """Without the shortfall that is told, that check passes there."""
    overfull = [one.ident for one in picture.workers if free_ram(picture, one.ident) < 0]
    overfull += [
        one.ident for one in picture.workers for d in one.devices if free_bytes(picture, one.ident, d.key) < 0
    ]
    assume(not overfull and not any(one.is_unified_memory for one in picture.workers))
    alone = 1 if backend is Backend.VLLM else None
    wanted = demand(gib, backend, worker_selector=labels, gpus_per_replica=alone)
    found = found_in(picture, wanted)
    if isinstance(found, Placement):
        return
    assert {reason.worker for reason in found.reasons} == {one.name for one in picture.workers}
    for reason in found.reasons:
        again = found_in(mended(picture, reason, backend), wanted)
        if isinstance(again, Placement) or reason.check == "device_type":
            continue
        same = [
            one
            for one in again.reasons
            if (one.worker, one.device, one.check) == (reason.worker, reason.device, reason.check)
        ]
        assert not same, (reason, same)


def test_each_worker_and_device_has_its_own_reason() -> None:
    picture = Picture(
        (
            worker(1, device(0), device(1, foreign=7), device(2, type="cann")),
            worker(2, device(0), state="silent"),
            worker(3, device(0), ram=0),
        )
    )
    wanted = demand(20, Backend.VOXBOX)
    found = found_in(picture, wanted)
    assert isinstance(found, Unplaceable)
    assert [(one.worker, one.device, one.check) for one in found.reasons] == [
        ("w1", "cann:2", "device_type"),
        ("w1", "cuda:0", "vram"),
        ("w1", "cuda:1", "vram"),
        ("w2", None, "state"),
        ("w3", "cuda:0", "vram"),
    ]


def test_a_thousand_reasons_are_summed_up_with_the_closest_first() -> None:
    fleet = [
        worker(ident, device(0, 4), state="silent" if ident > 9 else "ready") for ident in range(1, 1001)
    ]
    found = place_in(Index(Picture(tuple(fleet))), demand(20, Backend.VOXBOX), sizer=sizer())
    assert isinstance(found, Unplaceable)
    assert len(found.stated()) == MOST_REASONS
    assert [one.check for one in found.stated()[:10]] == ["vram"] * 9 + ["state"]
    assert found.message().endswith("In all 1000 reasons, by what is lacking: state 991, vram 9.")


def test_what_is_forced_says_what_does_not_suffice() -> None:
    picture = Picture((worker(1, device(0), device(1)),), (held(1, 1, {"cuda:0": 6, "cuda:1": 7}),))
    refused = found_in(picture, demand(4, gpu_ids=("w1:cuda:0",)))
    assert isinstance(refused, Unplaceable)
    assert {(one.device, one.check) for one in refused.reasons} == {
        ("cuda:0", "vram"),
        ("cuda:1", "gpu_selector"),
    }
    forced = found_in(picture, demand(4, gpu_ids=("w1:cuda:0",), force=True))
    assert isinstance(forced, Placement)
    assert forced.claim.vram_bytes == {"cuda:0": 4 * GIB}
    [lack] = forced.overcommits
    assert (lack.device, lack.needed, lack.available) == ("cuda:0", 4 * GIB, 2 * GIB)
