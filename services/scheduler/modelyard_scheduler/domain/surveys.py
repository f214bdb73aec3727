"""What every worker and device was to the instances of a batch of decisions, as it is kept with each."""

from collections.abc import Hashable, Mapping, Sequence

from modelyard_contracts.deployments import Alike
from modelyard_contracts.parameters import BadParameters
from modelyard_placement.claims import Sizer
from modelyard_placement.counts import Contradiction, counts_of
from modelyard_placement.demand import PathSaid
from modelyard_placement.picture import Holding
from modelyard_placement.survey import NOBODY, Looks, Row, Rows, Survey, Verdict, alike

from modelyard_scheduler.domain.instance import InstanceState
from modelyard_scheduler.domain.picture import Picture

SMALL_CLUSTER = 16
"""Workers up to which a decision tells of each device. Beyond, it tells of each worker by what comes closest
there; of each device it is found out anew (`modelyard explain --full`)."""


class Surveys:
    """Instances that ask for the same are told of one survey: only workers of which something was taken since
    are looked at again. `taken` grows as the batch goes on."""

    def __init__(self, picture: Picture, sizer: Sizer, looks: Looks, taken: Sequence[Holding] = ()) -> None:
        self._picture = picture
        self._sizer = sizer
        self._looks = looks
        self._taken = taken
        self._known: dict[Hashable, tuple[Survey, int]] = {}
        self._stated: dict[Hashable, tuple[int, tuple[Alike, ...]]] = {}

    def verdicts(
        self, state: InstanceState, paths: Mapping[int, PathSaid] | None, held: frozenset[int] = NOBODY
    ) -> tuple[Alike, ...]:
        """As a decision keeps them, before the instance itself takes its place."""
        kind = _kind(state, held)
        stated = self._stated.get(kind)
        if stated is None or stated[0] != len(self._taken):
            rows = self.rows(state, paths, held)
            stated = len(self._taken), alike(rows, by_device=len(rows) <= SMALL_CLUSTER)
            self._stated[kind] = stated
        return stated[1]

    def rows(
        self, state: InstanceState, paths: Mapping[int, PathSaid] | None, held: frozenset[int] = NOBODY
    ) -> Mapping[int, Rows]:
        """By worker."""
        kind = _kind(state, held)
        known = self._known.get(kind)
        if known is None:
            try:
                demand = self._picture.demand(state, paths)
            except BadParameters:
                return self._of_all(Verdict("model"))
            counts = counts_of(demand)
            if isinstance(counts, Contradiction):
                return self._of_all(Verdict("counts", counts.needed, counts.available))
            survey = Survey(self._picture.rooms, demand, counts, self._sizer, held, self._looks)
            known = survey, len(self._taken)
        survey, seen = known
        for worker_id in {holding.worker for holding in self._taken[seen:]}:
            room = self._picture.rooms.room(worker_id)
            if room is not None:
                survey.look_again(room)
        self._known[kind] = survey, len(self._taken)
        return survey.rows

    def _of_all(self, verdict: Verdict) -> Mapping[int, Rows]:
        return {room.worker.ident: (Row((), verdict),) for room in self._picture.rooms.everyone()}


def _kind(state: InstanceState, held: frozenset[int]) -> Hashable:
    return state.deployment_id, id(state.spec), held
