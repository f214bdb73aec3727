"""Remembers the latest requests, so that people can ask what became of one."""

from modelyard_gateway.domain.record import Record


class Ledger:
    """Holds at least the last `most` records, in two generations: forgetting costs nothing."""

    def __init__(self, *, most: int = 10_000) -> None:
        self._most = most
        self._newer: dict[bytes, Record] = {}
        self._older: dict[bytes, Record] = {}

    def add(self, record: Record) -> None:
        if len(self._newer) >= self._most:
            self._older = self._newer
            self._newer = {}
        self._newer[record.request_id] = record

    def find(self, request_id: bytes) -> Record | None:
        return self._newer.get(request_id) or self._older.get(request_id)
