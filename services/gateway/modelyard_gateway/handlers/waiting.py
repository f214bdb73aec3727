"""Requests that wait for an instance with room, in their order, route by route."""

from collections import deque
from typing import Protocol

from modelyard_gateway.domain.balance import Balancer
from modelyard_gateway.domain.slot import Slot
from modelyard_gateway.domain.table import Route


class Waiter(Protocol):
    adapter: str | None
    affinity: int | None

    def has_room(self, slot: Slot) -> None:
        """Its turn has come."""


class Waiting:
    def __init__(self, balancer: Balancer, *, most: int) -> None:
        self._balancer = balancer
        self._most = most
        self.queues: dict[int, tuple[Route, deque[Waiter]]] = {}
        """Of routes for which somebody waits."""

    def join(self, route: Route, waiter: Waiter) -> bool:
        """False if too many wait already."""
        _, queue = self.queues.setdefault(route.id, (route, deque()))
        own = None if route.options is None else route.options.queue_size
        if len(queue) >= (self._most if own is None else own):
            return False
        queue.append(waiter)
        return True

    def leave(self, route: Route, waiter: Waiter) -> None:
        found = self.queues.get(route.id)
        if found is not None and waiter in found[1]:
            found[1].remove(waiter)

    def serve(self, now: float) -> None:
        """To be called when there may be room somewhere."""
        if not self.queues:
            return
        for route_id, (route, queue) in tuple(self.queues.items()):
            while queue:
                slot = self._balancer.pick(route, (), now, queue[0].adapter, queue[0].affinity)
                if slot is None:
                    break
                queue.popleft().has_room(slot)
            if not queue:
                self.queues.pop(route_id, None)
