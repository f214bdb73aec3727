"""For probes; the only paths that ask for no key."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modelyard_gateway.domain.readiness import Readiness
from modelyard_gateway.domain.table import RoutingTable


class Health:
    def __init__(self, table: RoutingTable, readiness: Readiness) -> None:
        self._table = table
        self._readiness = readiness

    async def alive(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Ready as long as it can route, even from a table that no longer changes; `halted` tells."""
        body = {
            "status": "ready" if self._readiness.caught_up else "starting",
            "seq": self._table.seq,
            "halted": self._readiness.halted,
        }
        status = HTTPStatus.OK if self._readiness.caught_up else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse(body, status)
