"""What a watcher hears, and where it may go on from."""

from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from modelyard_api.projections.changes import CREATED, DELETED, UPDATED, Change
from modelyard_api.projections.lists import Condition, Listing, Page
from modelyard_api.routes.watch import news, replay

EVERYTHING = Listing([], [], 1, 100)
RUNNING = Listing([Condition(lambda c: c.state == "running", lambda v: v["state"] == "running")], [], 1, 100)


def page(*changed_seqs: int, seq: int) -> Page:
    views = [{"id": number} for number in range(len(changed_seqs))]
    return Page(views, sorted(changed_seqs), len(views), seq)


def change(seq: int, ident: int, was: str | None, now: str, kind: int = UPDATED) -> Change:
    fields = {"state": [[was], [now]]} if kind == UPDATED else {}
    return Change(seq, ident, "model-instances", ident, kind, {"id": ident, "state": now}, fields)


def said(frames: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(frame["type"], frame["seq"]) for frame in frames]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.data())
def test_a_replay_cut_anywhere_goes_on_with_every_row_that_was_missed(seqs: list[int], data: Any) -> None:
    frames = replay(page(*seqs, seq=50))
    came = data.draw(st.integers(1, len(frames)))
    since = frames[came - 1]["seq"]
    missed = sorted(seqs)[came:]
    assert all(seq > since for seq in missed)
    assert frames[-1]["seq"] == 50


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20).map(sorted), st.data())
def test_live_changes_cut_anywhere_go_on_with_every_change_that_was_missed(
    seqs: list[int], data: Any
) -> None:
    found = [change(seq, ident, "starting", "running") for ident, seq in enumerate(seqs)]
    frames = news(found, EVERYTHING)
    came = data.draw(st.integers(1, len(frames)))
    since = frames[came - 1]["seq"]
    assert all(seq > since for seq in seqs[came:])
    for seq, group in groupby(zip(seqs, frames, strict=True), key=lambda pair: pair[0]):
        assert [frame["seq"] for _, frame in group][-1] == seq


def test_a_row_that_begins_to_match_is_created_for_the_watcher() -> None:
    assert said(news([change(7, 1, "starting", "running")], RUNNING)) == [(CREATED, 7)]


def test_a_row_that_ceases_to_match_is_deleted_for_the_watcher() -> None:
    assert said(news([change(7, 1, "running", "error")], RUNNING)) == [(DELETED, 7)]


def test_a_row_that_goes_on_matching_is_updated() -> None:
    assert said(news([change(7, 1, "running", "running")], RUNNING)) == [(UPDATED, 7)]


def test_a_row_that_never_matched_is_not_mentioned() -> None:
    unseen = [change(7, 1, "starting", "error"), change(8, 2, None, "error", DELETED)]
    assert news(unseen, RUNNING) == []
