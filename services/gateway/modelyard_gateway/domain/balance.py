"""Which instance takes the next request.

What is known of an instance here, and only here, lives in its slot: requests in flight, failures in a
row. The table says which instances there are; a route's plan joins the two, and is made anew when the
table has changed, so that a request allocates nothing.
"""

from collections.abc import Callable, Collection
from enum import IntEnum

from modelyard_gateway.domain.limits import Ejection
from modelyard_gateway.domain.table import Endpoint, Route, RoutingTable


class Trust(IntEnum):
    """The lower, the better; a worse one is used only where no better one is left."""

    GOOD = 0
    DOUBTFUL = 1
    """Its worker is silent."""
    FAILED = 2
    """It failed a moment ago, or is being tried again right now."""


class Slot:
    """One endpoint, as this process knows it. Times are on one monotonic clock, in seconds."""

    __slots__ = (
        "address", "doubtful", "ejected_until", "ejections", "endpoint", "failures", "in_flight", "lines",
        "opening", "place", "probing", "said",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, relay_token: str | None = None) -> None:
        self.endpoint = endpoint
        self.address = (endpoint.host, endpoint.port)
        self.place = (endpoint.host, endpoint.port, relay_token)
        """What connections are kept by: a relay has one address for many instances."""
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        self.lines = f"Host: {host}:{endpoint.port}\r\n".encode()
        """Header lines that every request to it carries."""
        relay = b"" if relay_token is None else f"X-Modelyard-Relay: {relay_token}\r\n".encode()
        self.opening = self.lines + relay
        """Those of the first request of a connection."""
        self.said = b"X-Modelyard-Instance: %d\r\n" % endpoint.instance_id
        """A header line for the client."""
        self.doubtful = False
        self.in_flight = 0
        self.failures = 0
        """In a row."""
        self.ejections = 0
        self.ejected_until = 0.0
        self.probing = False
        """One request finds out whether it is well again."""

    def trust(self, now: float) -> Trust:
        if self.ejections and (self.probing or self.ejected_until > now):
            return Trust.FAILED
        return Trust.DOUBTFUL if self.doubtful else Trust.GOOD

    def has(self, adapter: str) -> bool:
        served = self.endpoint.served
        return served is not None and adapter in served.adapters

    def served_as(self, adapter: str | None) -> str | None:
        """What the model server calls the model; None if that is not known."""
        served = self.endpoint.served
        if served is None:
            return None
        return served.name if adapter is None else f"{served.name}:{adapter}"

    def taken(self) -> None:
        self.in_flight += 1
        self.probing = self.ejections > 0

    def succeeded(self) -> None:
        self.failures = self.ejections = 0
        self.probing = False

    def failed(self, now: float, ejection: Ejection) -> None:
        self.failures += 1
        self.probing = False
        if self.failures >= ejection.failures or self.ejections:
            self.ejected_until = now + min(ejection.longest_s, ejection.for_s * 2.0**self.ejections)
            self.ejections = min(self.ejections + 1, 30)


class Share:
    """One target of a route: its instances, and the end of its part of the line from 0 to the total."""

    __slots__ = ("slots", "until")

    def __init__(self, slots: list[Slot], until: int) -> None:
        self.slots = slots
        self.until = until


class Plan:
    __slots__ = ("changes", "shares", "total")

    def __init__(self, changes: int, shares: list[Share]) -> None:
        self.changes = changes
        self.shares = shares
        self.total = shares[-1].until if shares else 0


# The two-dimensional low-discrepancy sequence of the plastic number (M. Roberts, "The unreasonable
# effectiveness of quasirandom sequences"): successive turns spread evenly, and so does every n-th turn,
# so that one counter serves all routes and needs no chance.
TARGET_STEP = 0.7548776662466927
TIE_STEP = 0.5698402909980532

LOOKED_AT = 16
"""Of more instances, that many are compared: the least of a few is almost as good as the least of all
(M. Mitzenmacher, "The power of two choices in randomized load balancing"), at a cost that does not grow."""


BUSIEST = 1_000_000
"""More requests than an instance ever has in flight."""


class Balancer:
    """`unseal` opens the tokens of relays."""

    def __init__(
        self,
        table: RoutingTable,
        unseal: Callable[[str], str] = lambda sealed: sealed,
        *,
        most_in_flight: int = 0,
    ) -> None:
        self._table = table
        self._most = most_in_flight or BUSIEST
        self._unseal = unseal
        self._slots: dict[Endpoint, Slot] = {}
        self._plans: dict[int, Plan] = {}
        self._turn = 0
        self.reason = ""
        """Why the latest pick was made."""

    def pick(
        self, route: Route, tried: Collection[Slot], now: float, adapter: str | None = None
    ) -> Slot | None:
        """The target by its weight, then its instance with the fewest requests in flight; a target of
        weight 0 takes none. With an adapter, only instances that serve it."""
        plan = self._plans.get(route.id)
        if plan is None or plan.changes != self._table.changes:
            plan = self._plan(route)
        if not plan.shares:
            return None
        if adapter is not None:
            tried = [
                *tried,
                *(slot for share in plan.shares for slot in share.slots if not slot.has(adapter)),
            ]
        shares = plan.shares
        if len(shares) == 1 and len(shares[0].slots) == 1 and not tried and self._most == BUSIEST:
            self.reason = "the only instance"
            return shares[0].slots[0]
        self.reason = "least requests in flight"
        self._turn += 1
        place = self._turn * TIE_STEP % 1
        share = shares[0] if len(shares) == 1 else _share_at(plan, self._turn * TARGET_STEP % 1)
        found = least(share.slots, place, tried, now, self._most)
        if found is not None and found.trust(now) is Trust.GOOD:
            return found
        return self._of_all(plan, place, tried, now)

    def in_flight(self) -> int:
        return sum(slot.in_flight for slot in self._slots.values())

    def _of_all(self, plan: Plan, place: float, tried: Collection[Slot], now: float) -> Slot | None:
        """The most trusted of all targets; among those, a target by its weight as long as one is left."""
        trusts = [
            min((slot.trust(now) for slot in share.slots if self._open(slot, tried)), default=None)
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
            _share_at(Plan(0, left), place).slots, self._turn * TARGET_STEP % 1, tried, now, self._most
        )

    def _open(self, slot: Slot, tried: Collection[Slot]) -> bool:
        return slot not in tried and slot.in_flight < self._most

    def is_full(self, route: Route) -> bool:
        """True if instances are there, and each has as many requests as it may."""
        plan = self._plans.get(route.id)
        slots = [slot for share in plan.shares for slot in share.slots] if plan is not None else []
        return bool(slots) and all(slot.in_flight >= self._most for slot in slots)

    def _plan(self, route: Route) -> Plan:
        shares: list[Share] = []
        until = 0
        for target in route.targets:
            slots = [self._slot(endpoint) for endpoint in self._table.instances.of(target.deployment_id)]
            if target.weight > 0 and slots:
                until += target.weight
                shares.append(Share(slots, until))
        plan = self._plans[route.id] = Plan(self._table.changes, shares)
        self._forget_gone()
        return plan

    def _slot(self, endpoint: Endpoint) -> Slot:
        slot = self._slots.get(endpoint)
        if slot is None:
            sealed = endpoint.relay_token
            slot = self._slots[endpoint] = Slot(endpoint, None if sealed is None else self._unseal(sealed))
        slot.doubtful = self._table.instances.is_doubtful(endpoint)
        return slot

    def _forget_gone(self) -> None:
        known = self._table.instances.endpoints
        if len(self._slots) > 2 * len(known) + 100:
            self._slots = {
                endpoint: slot
                for endpoint, slot in self._slots.items()
                if slot.in_flight or known.get(endpoint.instance_id) == endpoint
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
    best_rank = 4 * BUSIEST
    for n in range(min(count, LOOKED_AT)):
        slot = slots[(start + n * step) % count]
        if tried and slot in tried:
            continue
        rank = slot.in_flight
        if rank >= most:
            continue
        if slot.doubtful or slot.ejections:
            rank += slot.trust(now) * BUSIEST
        if rank < best_rank:
            best, best_rank = slot, rank
    return best


def _share_at(plan: Plan, place: float) -> Share:
    for share in plan.shares:
        if place * plan.total < share.until:
            return share
    return plan.shares[-1]
