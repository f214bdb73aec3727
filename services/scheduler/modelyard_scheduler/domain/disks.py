"""Which models are on workers' disks, and which are on their way there."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from modelyard_scheduler.domain.model_file import FilePhase, ModelFileState

NOTHING: frozenset[str] = frozenset()


@dataclass(slots=True)
class Disks:
    """Locations of models, by worker."""

    there: dict[int, frozenset[str]] = field(default_factory=dict)
    counted: dict[int, frozenset[str]] = field(default_factory=dict)
    """That were being downloaded when the room on the disk was stated: it is less by them already."""
    _coming: dict[int, frozenset[str]] = field(default_factory=dict)

    def follow(self, file: ModelFileState) -> bool:
        """False: there is and is counted what was."""
        ident, location = file.worker_id, file.model.location()
        before = self.there_on(ident), self.counted_on(ident)
        _put(self.there, ident, location, is_in=file.phase is FilePhase.READY)
        is_coming = file.phase is FilePhase.DOWNLOADING
        _put(self._coming, ident, location, is_in=is_coming)
        if not is_coming:
            _put(self.counted, ident, location, is_in=False)
        return before != (self.there_on(ident), self.counted_on(ident))

    def measured(self, worker_id: int) -> None:
        """The room on its disk was stated."""
        _set(self.counted, worker_id, self._coming.get(worker_id, NOTHING))

    def there_on(self, worker_id: int) -> frozenset[str]:
        return self.there.get(worker_id, NOTHING)

    def counted_on(self, worker_id: int) -> frozenset[str]:
        return self.counted.get(worker_id, NOTHING)

    def reindex(self, files: Iterable[ModelFileState]) -> None:
        """Makes what follows from the rest, where the rest was put in from a snapshot."""
        for file in files:
            if file.phase is FilePhase.DOWNLOADING:
                _put(self._coming, file.worker_id, file.model.location(), is_in=True)


def _put(of: dict[int, frozenset[str]], worker_id: int, location: str, *, is_in: bool) -> None:
    before = of.get(worker_id, NOTHING)
    if (location in before) is not is_in:
        _set(of, worker_id, before ^ {location})


def _set(of: dict[int, frozenset[str]], worker_id: int, locations: frozenset[str]) -> None:
    if locations:
        of[worker_id] = locations
    else:
        of.pop(worker_id, None)
