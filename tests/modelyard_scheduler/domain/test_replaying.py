"""When a decision that was made again counts as the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from modelyard_contracts.deployments import Claim
from modelyard_contracts.events import InstanceScheduled
from modelyard_placement.pages import pack, text
from modelyard_placement.verdicts import Row, Rows, Verdict, alike
from modelyard_scheduler.domain.replaying import NotReplayable, Replayed, placement_fact
from modelyard_scheduler_world import GIB, record

GOLDEN = Path(__file__).parents[2] / "modelyard_contracts" / "golden"


def scheduled(policy: str, claim: Claim) -> InstanceScheduled:
    path = GOLDEN / f"InstanceScheduled.v{InstanceScheduled.version}.json"
    fact = InstanceScheduled.model_validate(json.loads(path.read_text()))
    decision = fact.decision.model_copy(update={"policy": policy})
    return fact.model_copy(update={"decision": decision, "claim": claim, "subordinates": ()})


SHARE = Claim(vram_bytes={"cuda:0": 40}, fraction=0.5)
WITH_CONTEXT = Claim(vram_bytes={"cuda:0": 40}, fraction=0.5, beside_bytes={"cuda:0": 1})


def test_what_older_policies_did_not_count_makes_no_difference() -> None:
    again = scheduled("spread/4", WITH_CONTEXT)
    assert Replayed(scheduled("spread/3", SHARE), again).identical
    assert not Replayed(scheduled("spread/4", SHARE), again).identical
    assert not Replayed(scheduled("spread/3", Claim(vram_bytes={"cuda:0": 41})), again).identical
    assert not Replayed(scheduled("spread/3", SHARE), None).identical


ROWS: dict[int, Rows] = {
    ident: (
        Row(("cuda:0",), Verdict("vram", 40 * GIB, ident * GIB)),
        Row(("cuda:1",), Verdict(None, score=float(ident), parts=(("fit", float(ident)),))),
    )
    for ident in range(1, 33)
}
PAGE = pack({ident: text(rows, 1) for ident, rows in ROWS.items()}, 1)


def decided(**told: Any) -> InstanceScheduled:
    event = scheduled("spread/5", SHARE)
    blank = {"verdicts": (), "pages": ()}
    return event.model_copy(update={"decision": event.decision.model_copy(update={**blank, **told})})


def test_what_was_told_of_many_workers_without_their_devices_is_told_so_again() -> None:
    again = decided(pages=(PAGE,))
    assert Replayed(decided(pages=(PAGE,)), again).identical
    assert Replayed(decided(verdicts=alike(ROWS, by_device=False)), again).identical
    assert not Replayed(decided(verdicts=alike({**ROWS, 1: ROWS[2]}, by_device=False)), again).identical
    assert Replayed(decided(), again).identical


def test_pages_in_another_unit_are_compared_by_the_larger_one() -> None:
    rounded = pack({ident: text(rows, GIB) for ident, rows in ROWS.items()}, GIB)
    other = pack({ident: text(ROWS[33 - ident], GIB) for ident in ROWS}, GIB)
    assert Replayed(decided(pages=(rounded,)), decided(pages=(PAGE,))).identical
    assert not Replayed(decided(pages=(other,)), decided(pages=(PAGE,))).identical


def test_a_decision_that_did_not_keep_what_it_was_made_on_is_refused_with_its_policy() -> None:
    event = decided(policy="inspect/1")
    with pytest.raises(NotReplayable, match="policy inspect/1, which did not keep what the source"):
        placement_fact(record(event, 7))
