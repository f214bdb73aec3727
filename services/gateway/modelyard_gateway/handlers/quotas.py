"""Holds keys, users and routes to their limits. Whoever has none costs nothing."""

from collections.abc import Callable, Iterator

from modelyard_contracts.access import RateLimits
from modelyard_contracts.quotas import QuotaCounts, QuotaShare

from modelyard_gateway.domain import refusals
from modelyard_gateway.domain.keys import Key
from modelyard_gateway.domain.metered import tokens_and_basis
from modelyard_gateway.domain.quota import Share, Used, excess, header_lines, used
from modelyard_gateway.domain.record import Record
from modelyard_gateway.domain.table import Route, RoutingTable

OWN = ""
AT_ONCE = 2000
"""Shares in a message."""


class Quotas:
    """`wall` gives Unix time; processes must agree on it to a second or so."""

    def __init__(self, table: RoutingTable, process: str, wall: Callable[[], float]) -> None:
        self._table = table
        self._process = process
        self._wall = wall
        self._shares: dict[str, dict[str, Share]] = {}
        """By whose they are (`k1`, `u1`, `r1`) and by process, `OWN` for this one."""

    def concern(self, key: Key, route: Route) -> bool:
        """True if anything limits the request."""
        allowances = self._table.allowances
        return key.limits is not None or key.user_id in allowances.of_user or route.id in allowances.of_route

    def admit(self, key: Key, route: Route) -> tuple[tuple[Share, ...], bytes]:
        """Counts the request; gives what must be let go at its end, and header lines for its client.
        Raises `Refusal` (429) and counts nothing."""
        now = self._wall()
        found: list[tuple[RateLimits, Used, Share]] = []
        for who, name, limits in self._limits_of(key, route):
            shares = self._shares.setdefault(who, {OWN: Share()})
            so_far = _used(shares, now)
            over = excess(limits, so_far, now)
            if over is not None:
                raise refusals.over_limit(name, over, header_lines([(limits, so_far)], now))
            found.append((limits, so_far, shares[OWN]))
        for _, _, share in found:
            share.count_request()
        lines = header_lines([(limits, so_far) for limits, so_far, _ in found], now)
        return tuple(share for _, _, share in found), lines

    def let_go(self, held: tuple[Share, ...], record: Record) -> None:
        now = self._wall()
        (read, made, _), _ = tokens_and_basis(record)
        for share in held:
            share.roll(now)
            share.count_tokens(read + made)

    def counts(self) -> Iterator[QuotaCounts]:
        """What this process counted, for the others; whoever is idle is forgotten."""
        now = self._wall()
        told: dict[str, QuotaShare] = {}
        for who, shares in tuple(self._shares.items()):
            _used(shares, now)
            for process in [name for name, share in shares.items() if name != OWN and share.idle()]:
                del shares[process]
            own = shares[OWN]
            if not own.idle():
                told[who] = _told(own)
            elif len(shares) == 1:
                del self._shares[who]
        names = list(told)
        for start in range(0, len(names), AT_ONCE):
            part = {who: told[who] for who in names[start : start + AT_ONCE]}
            yield QuotaCounts(process=self._process, part=start // AT_ONCE, shares=part)

    def hear(self, counts: QuotaCounts) -> None:
        """What another process counted."""
        if counts.process == self._process:
            return
        now = self._wall()
        for who, said in counts.shares.items():
            share = Share(said.minute, said.day, heard_at=now)
            share.requests, share.requests_before = said.requests, said.requests_before
            share.tokens, share.tokens_before = said.tokens, said.tokens_before
            share.tokens_of_day, share.in_flight = said.tokens_of_day, said.in_flight
            self._shares.setdefault(who, {OWN: Share()})[counts.process] = share

    def _limits_of(self, key: Key, route: Route) -> Iterator[tuple[str, str, RateLimits]]:
        allowances = self._table.allowances
        if key.limits is not None:
            yield f"k{key.key_id}", "API key", key.limits
        if key.user_id in allowances.of_user:
            yield f"u{key.user_id}", "user", allowances.of_user[key.user_id]
        if route.id in allowances.of_route:
            yield f"r{route.id}", f"model '{route.name}'", allowances.of_route[route.id]


def _used(shares: dict[str, Share], now: float) -> Used:
    return used(shares[OWN], (share for process, share in shares.items() if process != OWN), now)


def _told(share: Share) -> QuotaShare:
    return QuotaShare(
        minute=share.minute,
        requests=share.requests,
        requests_before=share.requests_before,
        tokens=share.tokens,
        tokens_before=share.tokens_before,
        day=share.day,
        tokens_of_day=share.tokens_of_day,
        in_flight=share.in_flight,
    )
