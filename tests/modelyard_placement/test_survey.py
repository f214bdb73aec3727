"""What is said of every worker and device is true, and none is missing."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.deployments import Alike, Backend
from modelyard_placement.demand import Demand
from modelyard_placement.index import Index
from modelyard_placement.picture import Holding, Picture, WorkerView
from modelyard_placement.place import Placement, place
from modelyard_placement.survey import Looks
from modelyard_placement.verdicts import alike
from modelyard_placement_world import demand, demands, device, held, pictures, sizer, survey_of, worker

Said = tuple[Alike, ...]


def surveyed(picture: Picture, wanted: Demand) -> Said:
    return alike(survey_of(Index(picture), wanted).rows)


def of_worker(said: Said, ident: int) -> list[tuple[Alike, tuple[str, ...]]]:
    return [
        (one, members.devices)
        for one in said
        for members in one.members
        if any(first <= ident <= last for first, last in members.workers)
    ]


@given(picture=pictures(), wanted=demands())
def test_every_worker_and_device_is_told_of_once(picture: Picture, wanted: Demand) -> None:
    said = surveyed(picture, wanted)
    for one in picture.workers:
        found = of_worker(said, one.ident)
        told = Counter(key for _, devices in found for key in devices)
        assert set(told.values()) <= {1}
        whole = [verdict for verdict, devices in found if not devices]
        assert len(whole) <= 1
        assert whole or set(told) == {gpu.key for gpu in one.devices}


@given(picture=pictures(), wanted=demands())
def test_a_worker_has_a_score_if_and_only_if_it_would_do_alone(picture: Picture, wanted: Demand) -> None:
    said = surveyed(picture, wanted)
    for one in picture.workers:
        alone = place(wanted, alone_with(picture, one), sizer=sizer())
        scores = [verdict.score for verdict, _ in of_worker(said, one.ident) if verdict.score is not None]
        assert scores == ([alone.best[0].score] if isinstance(alone, Placement) else [])


@given(picture=pictures(), wanted=demands())
def test_a_device_that_is_said_to_have_too_little_has_less_than_is_needed(
    picture: Picture, wanted: Demand
) -> None:
    rooms = Index(picture)
    for one in surveyed(picture, wanted):
        for members in one.members if one.check == "vram" else ():
            for first, last in members.workers:
                room = rooms.room(first)
                assert room is not None
                assert isinstance(one.needed, int)
                assert isinstance(one.available, int)
                assert one.available < one.needed
                assert first == last or last - first < len(picture.workers)
                assert all(max(room.free[key], 0) >= one.available for key in members.devices)


def alone_with(picture: Picture, one: WorkerView) -> Picture:
    return Picture((one,), tuple(holding for holding in picture.holdings if holding.worker == one.ident))


@given(picture=pictures(), wanted=demands(), data=st.data())
def test_what_changed_meanwhile_is_looked_at_again(
    picture: Picture, wanted: Demand, data: st.DataObject
) -> None:
    rooms = Index(picture)
    survey = survey_of(rooms, wanted)
    survey.pages(1)
    for number in range(3 if picture.workers else 0):
        one = data.draw(st.sampled_from(picture.workers))
        taken: Holding = held(f"new-{number}", one.ident, {gpu.key: 2 for gpu in one.devices[:1]}, ram=1)
        rooms.take(replace(taken, deployment=data.draw(st.sampled_from(["chat", "other"]))))
        if data.draw(st.booleans()):
            rooms.put_worker(replace(one, maintenance=True))
        if data.draw(st.booleans()):
            assert survey.follow(rooms, wanted)
    assert survey.follow(rooms, wanted)
    anew = survey_of(rooms, wanted)
    assert alike(survey.rows) == alike(anew.rows)
    assert survey.pages(1) == anew.pages(1)


def test_a_survey_is_made_anew_for_others_and_where_workers_come_or_go() -> None:
    rooms, wanted = Index(Picture((worker(1, device(0)),))), demand(4)
    survey = survey_of(rooms, wanted)
    assert survey.follow(rooms, wanted)
    assert not survey.follow(rooms, demand(5))
    assert not survey.follow(Index(Picture((worker(1, device(0)),))), wanted)
    rooms.put_worker(worker(2, device(0)))
    assert not survey.follow(rooms, wanted)


@given(picture=pictures(), other=pictures(), asked=st.lists(demands(), min_size=1, max_size=4))
def test_what_is_remembered_of_rooms_changes_nothing(
    picture: Picture, other: Picture, asked: list[Demand]
) -> None:
    looks = Looks()
    for wanted in asked:
        for one in (picture, other, picture):
            found = survey_of(Index(one), replace(wanted, deployment="another"), looks).rows
            assert found == survey_of(Index(one), replace(wanted, deployment="another")).rows
            assert survey_of(Index(one), wanted, looks).rows == survey_of(Index(one), wanted).rows


def test_a_thousand_that_are_alike_are_told_in_a_few_words() -> None:
    fleet = [worker(ident, device(0), device(1), labels={"host": f"h{ident}"}) for ident in range(1, 1001)]
    taken = [held(ident, ident, {"cuda:0": 6}) for ident in range(1, 500)]
    said = surveyed(Picture(tuple(fleet), tuple(taken)), demand(4, gpus_per_replica=1))
    assert sorted(
        (one.check or "", members.devices, members.workers) for one in said for members in one.members
    ) == [
        ("", ("cuda:0", "cuda:1"), ((500, 1000),)),
        ("", ("cuda:1",), ((1, 499),)),
        ("vram", ("cuda:0",), ((1, 499),)),
    ]


@given(picture=pictures(), wanted=demands())
def test_where_too_many_differ_they_are_told_from_the_least_to_the_most(
    picture: Picture, wanted: Demand
) -> None:
    rows = survey_of(Index(picture), wanted).rows
    exact, together = alike(rows), alike(rows, most_groups=0)
    for ident in rows:
        for (one, devices), (wide, same) in zip(
            sorted(of_worker(exact, ident), key=lambda told: told[1]),
            sorted(of_worker(together, ident), key=lambda told: told[1]),
            strict=True,
        ):
            assert (devices, one.check, one.needed) == (same, wide.check, wide.needed)
            if isinstance(one.available, int):
                assert isinstance(wide.available, int)
                assert wide.available <= one.available <= (wide.available_most or 0)
            if one.score is not None:
                assert (wide.score or 0) <= one.score <= (wide.score_most or 0)


@given(picture=pictures(), wanted=demands())
def test_of_many_workers_each_is_told_of_once(picture: Picture, wanted: Demand) -> None:
    rows = survey_of(Index(picture), wanted).rows
    by_device, by_worker = alike(rows), alike(rows, by_device=False)
    for ident in rows:
        [(one, devices)] = of_worker(by_worker, ident)
        assert devices == ()
        all_told = [verdict for verdict, _ in of_worker(by_device, ident)]
        assert any(
            (one.check, one.needed, one.available, one.score) == (v.check, v.needed, v.available, v.score)
            for v in all_told
        )
        assert one.check is not None or one.score is not None


def test_a_worker_with_too_few_devices_that_have_room_says_which_have() -> None:
    picture = Picture((worker(1, device(0), device(1)),), (held(1, 1, {"cuda:0": 8}),))
    said = surveyed(picture, demand(4, Backend.VLLM, gpus_per_replica=2))
    assert {(one.check, one.score, one.members[0].devices) for one in said} == {
        ("vram", None, ("cuda:0",)),
        (None, None, ("cuda:1",)),
    }
