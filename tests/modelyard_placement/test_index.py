"""The index gives the answer of the plain scan, whatever happened to it before."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelyard_placement import index, orders
from modelyard_placement.demand import Demand
from modelyard_placement.index import Index
from modelyard_placement.picture import Holding, Picture, WorkerView
from modelyard_placement.place import Placement, place_in
from modelyard_placement.rooms import ScannedRooms
from modelyard_placement.tree import MaxTree
from modelyard_placement_world import demands, held, pictures, sizer, workers


@pytest.fixture(params=[1, 64], autouse=True, scope="module")
def few(request: pytest.FixtureRequest) -> object:
    """How many workers are few: with 1, small clusters go the ways of large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "FEW", request.param)
        patch.setattr(index, "FEW", request.param)
        yield


@given(values=st.lists(st.integers(-1, 9), min_size=1, max_size=20), data=st.data())
def test_the_first_that_is_large_enough_is_found(values: list[int], data: st.DataObject) -> None:
    tree = MaxTree(len(values))
    for at in data.draw(st.permutations(range(len(values)))):
        tree.set(at, values[at])
    start, least = data.draw(st.integers(0, len(values) + 3)), data.draw(st.integers(0, 10))
    fitting = [at for at in range(start, len(values)) if values[at] >= least]
    assert tree.first(least, start) == (fitting[0] if fitting else -1)
    assert tree.highest == max(values)


@settings(deadline=None)
@given(picture=pictures(), wanted=demands())
def test_it_finds_what_a_scan_finds(picture: Picture, wanted: Demand) -> None:
    assert place_in(Index(picture), wanted, sizer=sizer()) == place_in(
        ScannedRooms(picture), wanted, sizer=sizer()
    )


CHANGES = st.one_of(
    st.tuples(st.just("worker"), st.integers(1, 6).flatmap(workers)),
    st.tuples(st.just("gone"), st.integers(1, 6)),
    st.tuples(st.just("back"), st.integers(0, 12)),
    st.tuples(st.just("place"), demands()),
)


class Cluster:
    """The same changes to an index, and to a picture that is scanned."""

    def __init__(self, picture: Picture) -> None:
        self.index = Index(picture)
        self.workers = {worker.ident: worker for worker in picture.workers}
        self.holdings = {(one.worker, one.instance): one for one in picture.holdings}
        self.number = 100

    def worker(self, view: WorkerView) -> None:
        self.index.put_worker(view)
        self.workers[view.ident] = view

    def gone(self, ident: int) -> None:
        self.index.remove_worker(ident)
        self.workers.pop(ident, None)
        self.holdings = {key: one for key, one in self.holdings.items() if one.worker != ident}

    def back(self, number: int) -> None:
        for key in list(self.holdings)[number : number + 1]:
            self.index.give_back(*key)
            del self.holdings[key]

    def place(self, wanted: Demand) -> None:
        picture = Picture(tuple(self.workers.values()), tuple(self.holdings.values()))
        found = place_in(self.index, wanted, sizer=sizer())
        assert found == place_in(ScannedRooms(picture), wanted, sizer=sizer())
        if not isinstance(found, Placement):
            return
        self.number += 1
        parts = [
            (found.worker.ident, found.claim),
            *((one.worker_id, one.claim) for one in found.subordinates),
        ]
        for ident, claim in parts:
            holding = Holding(self.number, wanted.deployment, ident, claim)
            self.index.take(holding)
            self.holdings[ident, self.number] = holding


@settings(max_examples=200, deadline=None)
@given(picture=pictures(), changes=st.lists(CHANGES, max_size=25))
def test_it_still_does_after_any_changes(picture: Picture, changes: list[tuple[str, object]]) -> None:
    cluster = Cluster(picture)
    for name, value in changes:
        getattr(cluster, name)(value)


def test_a_claim_on_an_unknown_worker_changes_nothing() -> None:
    empty = Index()
    empty.take(held(1, 7, {"cuda:0": 1}))
    empty.give_back(7, "1")
    assert list(empty.everyone()) == []
