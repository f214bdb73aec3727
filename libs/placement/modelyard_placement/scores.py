"""Which of several places is better: a rank, exact and lower first, and the same in points for people.

Spread evens out instances over workers, then over devices, and keeps replicas of one deployment apart;
an instance counts once, however many devices it has. Binpack takes the place with the least room left,
then the worker with the fewest idle devices, so that whole ones stay whole. Where both find no
difference, a worker that has the model's files goes first, then the one with the lower id.
"""

from collections.abc import Hashable

from modelyard_contracts.deployments import PlacementStrategy

from modelyard_placement.room import Room

VERSION = 5
Rank = tuple[int, ...]
SPREAD = PlacementStrategy.SPREAD
BINPACK = PlacementStrategy.BINPACK


def policy_name(policy: PlacementStrategy) -> str:
    return f"{policy}/{VERSION}"


def policy_of(name: str) -> tuple[str, int]:
    """Strategy and version."""
    strategy, _, version = name.rpartition("/")
    return strategy, int(version) if version.isdecimal() else 0


def spread_rank(room: Room, deployment: Hashable, location: str) -> Rank:
    worker = room.worker
    return (
        room.same(deployment),
        room.crowd,
        room.emptiest(),
        int(location not in worker.files),
        worker.ident,
    )


def binpack_rank(room: Room, room_bytes: int, location: str) -> Rank:
    """`room_bytes`: what the place has free before the instance takes its claim."""
    return (room_bytes, room.idle(), int(location not in room.worker.files), room.worker.ident)


def points(policy: PlacementStrategy, rank: Rank, claimed_bytes: int) -> dict[str, float]:
    """A rank as points: at most 100 in all, and more of them for the better rank."""
    if policy is BINPACK:
        room_bytes, idle, remote, _ = rank
        fit = claimed_bytes / room_bytes if room_bytes > 0 else 1.0
        return _rounded({"fit": 98 * fit, "fragments": 1 / (1 + idle), "locality": 1 - remote})
    same, crowd, emptiest, remote, _ = rank
    left, parts = 100.0, {}
    for name, count in (("anti_affinity", same), ("workers", crowd), ("devices", emptiest)):
        # all of the finer parts together weigh less than one instance more in this one
        parts[name] = left / (2 + count)
        left = left / (1 + count) - parts[name]
    parts["locality"] = left * (1 - remote)
    return _rounded(parts)


def _rounded(parts: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in parts.items()}
