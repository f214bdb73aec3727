"""What a decision looked at is told of each worker and device, whether it was stated in words or in pages."""

from hypothesis import given
from modelyard_placement.demand import Demand
from modelyard_placement.index import Index
from modelyard_placement.looks import in_groups, one_by_one
from modelyard_placement.picture import Picture
from modelyard_placement.verdicts import alike
from modelyard_placement_world import demand, demands, device, held, pictures, survey_of, worker


@given(picture=pictures(), wanted=demands())
def test_pages_and_plain_words_tell_the_same(picture: Picture, wanted: Demand) -> None:
    survey = survey_of(Index(picture), wanted)
    plain = {"verdicts": [one.model_dump(mode="json") for one in alike(survey.rows)], "pages": []}
    packed = {"verdicts": [], "pages": list(survey.pages(1))}
    names = {one.ident: one.name for one in picture.workers}
    assert one_by_one(packed, names) == one_by_one(plain, names)
    assert in_groups(plain) == plain
    assert one_by_one(in_groups(packed), names) == one_by_one(plain, names)


def test_each_device_has_its_own_numbers_in_the_order_of_workers_and_devices() -> None:
    fleet = (worker(1, device(0), device(1)), worker(2, device(0), state="silent"))
    picture = Picture(fleet, (held("other", 1, {"cuda:0": 6}),))
    survey = survey_of(Index(picture), demand(4, gpus_per_replica=1))
    told = one_by_one({"verdicts": [], "pages": list(survey.pages(1))}, {1: "w1"})
    assert [(one["worker_id"], one["worker"], one["device"], one["check"]) for one in told] == [
        (1, "w1", "cuda:0", "vram"),
        (1, "w1", "cuda:1", None),
        (2, None, None, "state"),
    ]
    assert told[0]["available"] == 2 * 1024**3
    assert told[1]["score"] > 0
