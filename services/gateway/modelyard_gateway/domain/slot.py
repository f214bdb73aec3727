"""What one process knows of an instance or a provider that takes requests."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from modelyard_backends.protocols import anthropic_paths
from modelyard_contracts.deployments import Backend

from modelyard_gateway.domain.limits import Ejection
from modelyard_gateway.domain.table import Endpoint, Provider

BUSIEST = 1_000_000
"""More requests than an instance ever has in flight."""
COLDEST = 0.1
"""The share of a warm instance's requests with which a new one begins."""


class Trust(IntEnum):
    """The lower, the better; a worse one is used only where no better one is left."""

    GOOD = 0
    DOUBTFUL = 1
    """Its worker is silent, or it sends nothing though requests run."""
    FAILED = 2
    """It failed a moment ago, or is being tried again right now."""


class Address(NamedTuple):
    host: str
    port: int
    tls: bool = False
    relay_token: str | None = None
    """A relay has one address for many instances."""


@dataclass(frozen=True, slots=True)
class Outside:
    """A model at a provider."""

    provider: Provider
    model: str


class Slot:
    """One endpoint, or one model at a provider. Times are on one monotonic clock, in seconds."""

    __slots__ = (
        "address", "anthropic", "base", "by_capacity", "capacity", "cold_s", "cold_until", "doubtful",
        "ejected_until", "ejections", "failures", "heard_at", "in_flight", "instance_id", "lines",
        "opening", "place", "probing", "provider_id", "said", "served", "stalled", "tunnels",
    )  # fmt: skip

    def __init__(self, place: Endpoint | Outside, secret: str | None = None) -> None:
        """`secret`: the token of an instance's relay, or the key of a provider."""
        self.place = place
        self.base: bytes | None = None
        """Stands at a provider for `/v1`; None for an instance."""
        self.instance_id: int | None = None
        self.provider_id: int | None = None
        self.anthropic: frozenset[bytes] | None = None
        """Paths at which it speaks Anthropic's protocol; None if nothing is known of it."""
        if isinstance(place, Endpoint):
            self._inside(place, secret)
        else:
            self._outside(place, secret)
        self.served = self.served_as(None)
        self.doubtful = False
        self.in_flight = 0
        self.tunnels = 0
        """Of those in flight: they may be silent."""
        self.capacity = 1.0
        """Its share of what the largest of its siblings can carry."""
        self.by_capacity = ""
        """Why it is picked where siblings differ; empty where they do not."""
        self.heard_at = 0.0
        self.cold_until = self.cold_s = 0.0
        self.failures = 0
        """In a row."""
        self.ejections = 0
        self.ejected_until = 0.0
        self.stalled = False
        """It was ejected for its silence."""
        self.probing = False
        """One request finds out whether it is well again."""

    def _inside(self, endpoint: Endpoint, relay_token: str | None) -> None:
        self.instance_id = endpoint.instance_id
        self.address = Address(endpoint.host, endpoint.port, relay_token=relay_token)
        self.lines = f"Host: {_bracketed(endpoint.host)}:{endpoint.port}\r\n".encode()
        """Header lines that every request to it carries."""
        relay = b"" if relay_token is None else f"X-Modelyard-Relay: {relay_token}\r\n".encode()
        self.opening = self.lines + relay
        """Those of the first request of a connection."""
        self.said = b"X-Modelyard-Instance: %d\r\n" % endpoint.instance_id
        """A header line for the client."""
        served = endpoint.served
        if served is not None:
            paths = anthropic_paths(served.backend, endpoint.version)
            self.anthropic = frozenset(path.encode() for path in paths)

    def _outside(self, outside: Outside, api_key: str | None) -> None:
        self.provider_id = outside.provider.id
        parts = urlsplit(outside.provider.base_url)
        tls = parts.scheme == "https"
        host = parts.hostname or ""
        self.address = Address(host, parts.port or (443 if tls else 80), tls)
        key = "" if api_key is None else f"Authorization: Bearer {api_key}\r\n"
        port = "" if parts.port is None else f":{parts.port}"
        self.lines = self.opening = f"Host: {_bracketed(host)}{port}\r\n{key}".encode()
        self.said = b"X-Modelyard-Provider: %d\r\n" % outside.provider.id
        self.base = parts.path.encode()
        self.anthropic = frozenset()

    def trust(self, now: float) -> Trust:
        if self.ejections and (self.probing or self.ejected_until > now):
            return Trust.DOUBTFUL if self.stalled else Trust.FAILED
        return Trust.DOUBTFUL if self.doubtful else Trust.GOOD

    def rank(self, now: float) -> float:
        """The lower, the sooner it is picked: its load for its capacity, as if it were higher while it is
        cold."""
        load = self.in_flight / self.capacity
        if self.cold_until > now:
            warmth = max(COLDEST, 1 - (self.cold_until - now) / self.cold_s)
            load = (load + 1) / warmth - 1
        return load + self.trust(now) * BUSIEST

    def differs(self, capacity: float, by: str) -> None:
        """From its siblings, by what it can carry."""
        self.capacity = capacity
        self.by_capacity = f"least requests in flight for its capacity ({by})" if by else ""

    def has(self, adapter: str) -> bool:
        served = self.place.served if isinstance(self.place, Endpoint) else None
        return served is not None and adapter in served.adapters

    def served_as(self, adapter: str | None) -> str | None:
        """What the model server calls the model; None if that is not known."""
        if isinstance(self.place, Outside):
            return self.place.model
        served = self.place.served
        if served is None:
            return None
        return served.name if adapter is None else f"{served.name}:{adapter}"

    def asked_beside(self, adapter: str | None) -> bytes:
        """What is said in a JSON body beside the name: llama.cpp knows adapters by their numbers only."""
        served = self.place.served if isinstance(self.place, Endpoint) else None
        if adapter is None or served is None or served.backend != Backend.LLAMA_CPP:
            return b""
        return b', "lora": [{"id": %d, "scale": 1.0}]' % served.adapters.index(adapter)

    def speaks(self, path: bytes) -> bool:
        """Of one of Anthropic's paths."""
        return self.anthropic is None or path in self.anthropic

    def warm_up(self, now: float, for_s: float) -> None:
        self.cold_s, self.cold_until = for_s, now + for_s

    def taken(self, now: float) -> None:
        if self.in_flight == self.tunnels:
            self.heard_at = now
        self.in_flight += 1
        self.probing = self.ejections > 0

    def succeeded(self) -> None:
        self.failures = self.ejections = 0
        self.probing = self.stalled = False

    def failed(self, now: float, ejection: Ejection) -> None:
        self.failures += 1
        self.probing = self.stalled = False
        if self.failures >= ejection.failures or self.ejections:
            self._eject(now, ejection)

    def listen(self, now: float, ejection: Ejection, silent_s: float) -> None:
        """To be called about once a second: finds out that it sends nothing though requests run."""
        silent = self.in_flight > self.tunnels and self.heard_at + silent_s <= now
        if not silent:
            if self.stalled and self.heard_at + silent_s > now:
                self.succeeded()
        elif self.trust(now) is not Trust.FAILED and self.ejected_until <= now:
            self.stalled = True
            self.failures = max(self.failures, 1)
            self.probing = False
            self._eject(now, ejection)

    def _eject(self, now: float, ejection: Ejection) -> None:
        self.ejected_until = now + min(ejection.longest_s, ejection.for_s * 2.0**self.ejections)
        self.ejections = min(self.ejections + 1, 30)

    def __str__(self) -> str:
        if isinstance(self.place, Outside):
            return f"provider {self.place.provider.name}"
        return f"instance {self.place.instance_id}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
