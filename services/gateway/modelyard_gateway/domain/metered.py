"""What is counted of a request, as the line of text that the spool keeps (`modelyard_contracts.usage`)."""

from modelyard_gateway.domain.record import Record
from modelyard_gateway.domain.tokens import Tokens, estimated, tokens_of

NOTHING = Tokens(0, 0, 0)
COUNTED, ESTIMATED, NONE, IN_FLIGHT = b"counted", b"estimated", b"none", b"in_flight"
LINE = (
    b'{"number":%d,"request_id":"%b","started_at":%.6f,"key_id":%d,"user_id":%d,"route_id":%d,'
    b'"instance_id":%b,"status":%d,"code":%b,"basis":"%b","tokens_in":%d,"tokens_out":%d,"tokens_cached":%d,'
    b'"duration_s":%.6f,"first_token_s":%b}\n'
)
"""Nothing in it needs quoting: ids are checked when they come, codes are ours."""


def tokens_and_basis(record: Record) -> tuple[Tokens, bytes]:
    """How many tokens a finished request took, and what that is based on."""
    if record.usage is not None and record.code is None:
        return tokens_of(record.usage), COUNTED
    if record.sent_to is None or (record.code is None and not record.events):
        return NOTHING, NONE
    return estimated(record.bytes_in, record.events), ESTIMATED


def line_of(number: int, record: Record, route_id: int, tokens: Tokens, basis: bytes) -> bytes:
    return LINE % (
        number,
        record.request_id,
        record.started_at,
        record.key_id,
        record.user_id,
        route_id,
        _or_null(record.sent_to),
        record.status,
        b"null" if record.code is None else b'"%b"' % record.code.encode(),
        basis,
        *tokens,
        record.ended_s or 0.0,
        b"null" if record.first_token_s is None else b"%.6f" % record.first_token_s,
    )


def lost_line(
    number: int, request_id: bytes, started_at: float, key_id: int, user_id: int, route_id: int, asked: int
) -> bytes:
    """Of a request that was in flight when its gateway was killed."""
    return LINE % (
        *(number, request_id, started_at, key_id, user_id, route_id, _or_null(asked)),
        *(0, b"null", IN_FLIGHT, *NOTHING, 0.0, b"null"),
    )


def _or_null(number: int | None) -> bytes:
    return b"%d" % number if number else b"null"
