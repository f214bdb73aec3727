"""Pages hold what was found at every worker and device, and take little room."""

from hypothesis import given
from modelyard_placement.demand import Demand
from modelyard_placement.index import Index
from modelyard_placement.pages import pack, text, unit_of, unpack
from modelyard_placement.picture import Picture
from modelyard_placement.verdicts import Rows, Verdict
from modelyard_placement_world import demand, demands, device, pictures, survey_of, worker


def by_device(rows: Rows) -> dict[str, Verdict]:
    return {device: row.verdict for row in rows for device in row.devices or ("",)}


@given(picture=pictures(), wanted=demands())
def test_every_worker_and_device_is_held_to_the_byte(picture: Picture, wanted: Demand) -> None:
    survey = survey_of(Index(picture), wanted)
    packed = unpack(survey.pages(1))
    assert {ident: by_device(rows) for ident, rows in packed.items()} == {
        ident: by_device(rows) for ident, rows in survey.rows.items()
    }


@given(picture=pictures(), wanted=demands())
def test_larger_units_round_bytes_down_and_nothing_else(picture: Picture, wanted: Demand) -> None:
    survey, unit = survey_of(Index(picture), wanted), 1024**2
    pages = survey.pages(unit)
    assert unit_of(pages) == (unit if picture.workers else 1)
    for ident, rows in unpack(pages).items():
        exact = by_device(survey.rows[ident])
        for key, verdict in by_device(rows).items():
            has = exact[key].available
            if isinstance(has, int) and exact[key].check in ("vram", "ram", "disk"):
                has -= has % unit
            assert verdict == exact[key]._replace(available=has)


def test_workers_that_are_alike_take_no_more_room() -> None:
    rows = survey_of(Index(Picture((worker(1, device(0)),))), demand(4)).rows[1]
    one, many = ({ident: text(rows, 1) for ident in range(64, 64 + count)} for count in (1, 64))
    assert len(pack(many, 1)) <= len(pack(one, 1)) + 8
