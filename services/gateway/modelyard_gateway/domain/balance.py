"""Which instance takes the next request.

What is known of an instance here, and only here, lives in its slot: requests in flight, failures in a
row. The table says which instances there are; a route's plan joins the two, and is made anew when the
table has changed, so that a request allocates nothing.
"""

from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import NamedTuple

from modelyard_contracts.events import Affinity, FallbackStatus, RouteTarget

from modelyard_gateway.domain.affinity import Ring
from modelyard_gateway.domain.capacity import compared
from modelyard_gateway.domain.limits import Ejection
from modelyard_gateway.domain.slot import BUSIEST, Outside, Slot, Trust
from modelyard_gateway.domain.table import Endpoint, Route, RoutingTable


class Share:
    """One target of a route: its instances, and the end of its part of the line from 0 to the total."""

    __slots__ = ("_ring", "slots", "until")

    def __init__(self, slots: list[Slot], until: int) -> None:
        self.slots = slots
        self.until = until
        self._ring: Ring | None = None

    def ring(self) -> Ring:
        self._ring = self._ring or Ring(self.slots)
        return self._ring


class Fallback(NamedTuple):
    """A target that is asked when those before it could not answer."""

    codes: frozenset[str]
    slots: list[Slot]

    def having(self, adapter: str | None) -> list[Slot]:
        """A provider has its model, whatever adapter was asked for."""
        if adapter is None:
            return self.slots
        return [slot for slot in self.slots if slot.provider_id is not None or slot.has(adapter)]


class Plan:
    __slots__ = ("changes", "fallbacks", "most", "shares", "total")

    def __init__(
        self, changes: int, shares: list[Share], most: int = BUSIEST, fallbacks: tuple[Fallback, ...] = ()
    ) -> None:
        self.changes = changes
        self.shares = shares
        self.most = most
        """Requests in flight at each of its slots."""
        self.fallbacks = fallbacks
        self.total = shares[-1].until if shares else 0

    def slots(self) -> Iterator[Slot]:
        """Those that take a share of the requests."""
        return (slot for share in self.shares for slot in share.slots)

    def all_slots(self) -> Iterator[Slot]:
        """And those that are fallen back to."""
        return chain(self.slots(), (slot for fallback in self.fallbacks for slot in fallback.slots))


# The two-dimensional low-discrepancy sequence of the plastic number (M. Roberts, "The unreasonable
# effectiveness of quasirandom sequences"): successive turns spread evenly, and so does every n-th turn,
# so that one counter serves all routes and needs no chance.
TARGET_STEP = 0.7548776662466927
TIE_STEP = 0.5698402909980532

TOO_MANY = 429
SERVER_ERRORS = 500
KEYS = 1 << 32

LOOKED_AT = 16
"""Of more instances, that many are compared: the least of a few is almost as good as the least of all
(M. Mitzenmacher, "The power of two choices in randomized load balancing"), at a cost that does not grow."""


class Balancer:
    """`unseal` opens the tokens of relays and the keys of providers."""

    def __init__(
        self,
        table: RoutingTable,
        unseal: Callable[[str], str] = lambda sealed: sealed,
        *,
        most_in_flight: int = 0,
        slow_start_s: float = 0.0,
    ) -> None:
        self._table = table
        self._most = most_in_flight or BUSIEST
        self._unseal = unseal
        self._slow_start_s = slow_start_s
        self._slots: dict[Endpoint | Outside, Slot] = {}
        self._plans: dict[int, Plan] = {}
        self._turn = 0
        self.reason = ""
        """Why the latest pick was made."""

    def pick(
        self,
        route: Route,
        tried: Collection[Slot],
        now: float,
        adapter: str | None = None,
        key: int | None = None,
    ) -> Slot | None:
        """The target by its weight, then its instance with the fewest requests in flight for its
        capacity; a target of weight 0 takes none. With an adapter, only instances that serve it. With a
        key, the instance where others with that key went, if it is well and not too busy."""
        plan = self._plans.get(route.id)
        if plan is None or plan.changes != self._table.changes:
            plan = self._plan(route, now)
        if not plan.shares:
            return None
        if adapter is not None:
            tried = [
                *tried,
                *(slot for slot in plan.slots() if not slot.has(adapter)),
            ]
        shares = plan.shares
        if len(shares) == 1 and len(shares[0].slots) == 1 and not tried and plan.most == BUSIEST:
            self.reason = "the only instance"
            return shares[0].slots[0]
        if key is not None and route.options is not None:
            bound = route.options.affinity_load_bound
            found = self._by_key(plan, route.options.affinity, bound, tried, now, key)
            if found is not None:
                return found
        self.reason = "least requests in flight"
        self._turn += 1
        place = self._turn * TIE_STEP % 1
        share = shares[0] if len(shares) == 1 else _share_at(plan, self._turn * TARGET_STEP % 1)
        found = least(share.slots, place, tried, now, plan.most)
        if found is not None and found.trust(now) is Trust.GOOD:
            self.reason = found.by_capacity or self.reason
            return found
        return self._of_all(plan, place, tried, now)

    def fall_back(
        self, route: Route, status: int, tried: Collection[Slot], now: float, adapter: str | None = None
    ) -> Slot | None:
        """Where a request goes that would end with this status otherwise: the first target of the chain
        that takes such requests and has someone who is well, then one that has anyone."""
        code = FallbackStatus.TOO_MANY if status == TOO_MANY else FallbackStatus.FAILED
        if status != TOO_MANY and status < SERVER_ERRORS:
            return None
        plan = self._plan(route, now)
        found = [
            slot
            for fallback in plan.fallbacks
            if code in fallback.codes
            and (slot := least(fallback.having(adapter), 0.0, tried, now, plan.most)) is not None
        ]
        if not found:
            return None
        self.reason = f"fallback after {status}"
        return min(found, key=lambda slot: slot.trust(now))

    def outside(self, route: Route, now: float) -> list[Slot]:
        """Those of a route that are providers'."""
        return [slot for slot in self._plan(route, now).all_slots() if slot.provider_id is not None]

    def speak(self, route: Route, path: bytes, now: float) -> bool:
        """Whether all of a route's speak Anthropic's protocol at the path."""
        return all(slot.speaks(path) for slot in self._plan(route, now).all_slots())

    def listen(self, now: float, ejection: Ejection, silent_s: float) -> None:
        for slot in self._slots.values():
            if slot.in_flight or slot.stalled:
                slot.listen(now, ejection, silent_s)

    def _by_key(
        self, plan: Plan, kind: Affinity, bound: float, tried: Collection[Slot], now: float, key: int
    ) -> Slot | None:
        share = plan.shares[0] if len(plan.shares) == 1 else _share_at(plan, key % KEYS / KEYS)
        ring = share.ring()
        found = ring.find(key, tried, now, plan.most, bound)
        if found is not None:
            at_home = found is ring.home(key)
            self.reason = f"same {kind}" if at_home else f"same {kind}, next as the first is busy or not well"
        return found

    def in_flight(self) -> int:
        return sum(slot.in_flight for slot in self._slots.values())

    def _of_all(self, plan: Plan, place: float, tried: Collection[Slot], now: float) -> Slot | None:
        """The most trusted of all targets; among those, a target by its weight as long as one is left."""
        trusts = [
            min(
                (slot.trust(now) for slot in share.slots if slot not in tried and slot.in_flight < plan.most),
                default=None,
            )
            for share in plan.shares
        ]
        self.reason = "least requests in flight of those left"
        known = [trust for trust in trusts if trust is not None]
        if not known:
            return None
        best = min(known)
        left: list[Share] = []
        until = start = 0
        for share, trust in zip(plan.shares, trusts, strict=True):
            if trust is best:
                until += share.until - start
                left.append(Share([slot for slot in share.slots if slot.trust(now) is best], until))
            start = share.until
        return least(
            _share_at(Plan(0, left), place).slots, self._turn * TARGET_STEP % 1, tried, now, plan.most
        )

    def is_full(self, route: Route) -> bool:
        """True if instances are there, and each has as many requests as it may."""
        plan = self._plans.get(route.id)
        if plan is None or not plan.shares:
            return False
        return all(slot.in_flight >= plan.most for slot in plan.slots())

    def _plan(self, route: Route, now: float) -> Plan:
        plan = self._plans.get(route.id)
        if plan is not None and plan.changes == self._table.changes:
            return plan
        shares: list[Share] = []
        fallbacks: list[Fallback] = []
        until = 0
        for target in route.targets:
            slots = self._slots_of(target, now)
            if not slots:
                continue
            if target.fallback_status_codes:
                fallbacks.append(Fallback(frozenset(target.fallback_status_codes), slots))
            elif target.weight > 0:
                until += target.weight
                shares.append(Share(slots, until))
        own = None if route.options is None else route.options.max_running_requests
        plan = Plan(self._table.changes, shares, own or self._most, tuple(fallbacks))
        self._plans[route.id] = plan
        self._forget_gone()
        return plan

    def _slots_of(self, target: RouteTarget, now: float) -> list[Slot]:
        if target.deployment_id is not None:
            slots = [self._slot(at, now) for at in self._table.instances.of(target.deployment_id)]
            _compare(slots)
            return slots
        provider = self._table.providers.get(target.provider_id or 0)
        if provider is None or target.overridden_model_name is None:
            return []
        outside = Outside(provider, target.overridden_model_name)
        slot = self._slots.get(outside)
        if slot is None:
            slot = self._slots[outside] = Slot(outside, self._opened(provider.sealed_api_key))
        return [slot]

    def _slot(self, endpoint: Endpoint, now: float) -> Slot:
        slot = self._slots.get(endpoint)
        if slot is None:
            slot = self._slots[endpoint] = Slot(endpoint, self._opened(endpoint.relay_token))
            slot.warm_up(now, self._slow_start_s)
        slot.doubtful = self._table.instances.is_doubtful(endpoint)
        return slot

    def _opened(self, sealed: str | None) -> str | None:
        return None if sealed is None else self._unseal(sealed)

    def _forget_gone(self) -> None:
        known = self._table.instances.endpoints
        if len(self._slots) > 2 * len(known) + 100:
            self._slots = {
                place: slot
                for place, slot in self._slots.items()
                if slot.in_flight or isinstance(place, Outside) or known.get(place.instance_id) == place
            }
            self._plans = {
                route_id: plan
                for route_id, plan in self._plans.items()
                if route_id in self._table.routes.by_id
            }


def least(
    slots: list[Slot], place: float, tried: Collection[Slot], now: float, most: int = BUSIEST
) -> Slot | None:
    """The most trusted, then the least busy, of the slots or of a sample that begins at `place`."""
    count = len(slots)
    start = int(place * count)
    step = 1 if count <= LOOKED_AT else count // LOOKED_AT
    best: Slot | None = None
    best_rank: float = 4 * BUSIEST
    for n in range(min(count, LOOKED_AT)):
        slot = slots[(start + n * step) % count]
        if tried and slot in tried:
            continue
        rank: float = slot.in_flight
        if rank >= most:
            continue
        if slot.doubtful or slot.ejections or slot.cold_until > now or slot.capacity < 1:
            rank = slot.rank(now)
        if rank < best_rank:
            if not rank:
                return slot
            best, best_rank = slot, rank
    return best


def _compare(slots: list[Slot]) -> None:
    """Instances of one deployment, by what each can carry."""
    found = compared([slot.place.capacity for slot in slots if isinstance(slot.place, Endpoint)])
    differ = any(share < 1 for share, _ in found)
    for slot, (share, by) in zip(slots, found, strict=True):
        slot.differs(share, by if differ else "")


def _share_at(plan: Plan, place: float) -> Share:
    for share in plan.shares:
        if place * plan.total < share.until:
            return share
    return plan.shares[-1]
