"""What every worker and device was to an instance, as it is kept with a decision."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import NamedTuple

from modelyard_contracts.deployments import Alike
from modelyard_contracts.parameters import BadParameters
from modelyard_placement.claims import Sizer
from modelyard_placement.counts import Contradiction, counts_of
from modelyard_placement.demand import PathSaid
from modelyard_placement.index import NOBODY
from modelyard_placement.survey import Looks, Survey
from modelyard_placement.verdicts import Row, Rows, Verdict, alike

from modelyard_scheduler.domain.instance import InstanceState
from modelyard_scheduler.domain.picture import Picture

SMALL_CLUSTER = 16
"""Workers up to which a decision tells of each device in plain words; beyond, in pages."""
UNITS = (1, 1024**2, 1024**3)
"""In which pages tell of bytes: the first with which they have room."""
MOST_BYTES = 192 * 1024
"""Of all pages: an event has room for 256 KiB, and says more than that."""
MOST_ROWS = 200_000
"""Workers in all surveys that are kept."""


class Told(NamedTuple):
    verdicts: tuple[Alike, ...] = ()
    pages: tuple[str, ...] = ()


class Surveys:
    """One for each deployment that is decided on: it is kept, and only workers that changed since are looked
    at again."""

    def __init__(self, sizer: Sizer | None = None) -> None:
        self.sizer = sizer or Sizer()
        self._looks = Looks()
        self._kept: OrderedDict[Hashable, Survey] = OrderedDict()

    def told(
        self,
        picture: Picture,
        state: InstanceState,
        paths: Mapping[int, PathSaid] | None,
        held: frozenset[int] = NOBODY,
    ) -> Told:
        """As a decision keeps it, before the instance itself takes its place."""
        survey = self._survey(picture, state, paths, held)
        if isinstance(survey, Verdict):
            return Told(alike(_of_all(picture, survey)))
        return told_of(survey)

    def rows(
        self, picture: Picture, state: InstanceState, paths: Mapping[int, PathSaid] | None
    ) -> Mapping[int, Rows]:
        """By worker."""
        survey = self._survey(picture, state, paths, NOBODY)
        return _of_all(picture, survey) if isinstance(survey, Verdict) else survey.rows

    def _survey(
        self,
        picture: Picture,
        state: InstanceState,
        paths: Mapping[int, PathSaid] | None,
        held: frozenset[int],
    ) -> Survey | Verdict:
        """A verdict where it is the same of all, whatever room there is."""
        try:
            demand = picture.demand(state, paths)
        except BadParameters:
            return Verdict("model")
        counts = counts_of(demand)
        if isinstance(counts, Contradiction):
            return Verdict("counts", counts.needed, counts.available)
        key = state.deployment_id, held
        survey = self._kept.pop(key, None)
        if survey is None or not survey.follow(picture.rooms, demand):
            survey = Survey(picture.rooms, demand, counts, self.sizer, held, self._looks)
        self._kept[key] = survey
        while len(self._kept) > max(1, MOST_ROWS // max(1, len(survey.rows))):
            self._kept.popitem(last=False)
        return survey


def told_of(survey: Survey) -> Told:
    """Beyond what an event has room for, each worker is told of once: by its score, else by what comes
    closest there."""
    if len(survey.rows) <= SMALL_CLUSTER:
        return Told(alike(survey.rows, most_groups=None))
    for unit in UNITS:
        pages = survey.pages(unit)
        if sum(map(len, pages)) <= MOST_BYTES:
            return Told(pages=pages)
    return Told(alike(survey.rows, by_device=False))


def _of_all(picture: Picture, verdict: Verdict) -> Mapping[int, Rows]:
    return dict.fromkeys((room.worker.ident for room in picture.rooms.everyone()), (Row((), verdict),))
