"""The immutable view of a cluster that a placement is decided on."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from modelyard_contracts.deployments import Claim

READY = "ready"


class DeviceKind(NamedTuple):
    """What devices have in common that need the same of a model."""

    type: str
    total_bytes: int
    name: str
    compute_capability: str | None


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device of a worker; `key` names it there, as in `cuda:0`."""

    type: str
    index: int
    total_bytes: int
    name: str = ""
    vendor: str = ""
    compute_capability: str | None = None
    reserved_bytes: int = 0
    foreign_bytes: int = 0
    """Measured: what processes hold that are none of our instances."""
    key: str = field(init=False)
    kind: DeviceKind = field(init=False)

    def __post_init__(self) -> None:
        kind = DeviceKind(self.type, self.total_bytes, self.name, self.compute_capability)
        object.__setattr__(self, "key", f"{self.type}:{self.index}")
        object.__setattr__(self, "kind", kind)


@dataclass(frozen=True, slots=True)
class WorkerView:
    ident: int
    """Settles ties: the lower goes first."""
    name: str
    cluster_id: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = READY
    maintenance: bool = False
    ram_total_bytes: int = 0
    ram_reserved_bytes: int = 0
    ram_foreign_bytes: int = 0
    """Measured: what is used beside our running instances, where memory is unified. Elsewhere main memory is
    counted by claims and the reserve: what the system has in use changes from second to second."""
    is_unified_memory: bool = False
    """Devices have no memory of their own: `ram_total_bytes` is all there is."""
    devices: tuple[DeviceView, ...] = ()
    backends: Mapping[str, str] | None = None
    """Backends that can start there, with versions; None: not known, and so not checked."""
    files: frozenset[str] = frozenset()
    """Locations of models whose files are there already."""
    disk_free_bytes: int | None = None
    """For further models, when it was measured."""
    arriving: frozenset[str] = frozenset()
    """Locations of models whose download that measure counts already."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one instance takes of one worker. An instance on several workers has several of them."""

    instance: Hashable
    deployment: Hashable
    worker: int
    claim: Claim
    location: str = ""
    """Of its model."""
    download_bytes: int = 0
    """What its files take of a disk that does not have them."""


@dataclass(frozen=True, slots=True)
class Picture:
    workers: tuple[WorkerView, ...] = ()
    holdings: tuple[Holding, ...] = ()
