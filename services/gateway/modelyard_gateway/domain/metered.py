"""What is counted of a request."""

from modelyard_contracts.usage import BASES, Basis

from modelyard_gateway.domain.record import Record
from modelyard_gateway.domain.tokens import Tokens, estimated, tokens_of

NOTHING: Tokens = (0, 0, 0)
COUNTED, ESTIMATED = BASES.index(Basis.COUNTED), BASES.index(Basis.ESTIMATED)
NONE, IN_FLIGHT = BASES.index(Basis.NONE), BASES.index(Basis.IN_FLIGHT)


def tokens_and_basis(record: Record) -> tuple[Tokens, int]:
    """How many tokens a finished request took, and what that is based on."""
    if record.usage is not None and record.code is None:
        return tokens_of(record.usage), COUNTED
    if record.sent_to is None or (record.code is None and not record.events):
        return NOTHING, NONE
    return estimated(record.bytes_in, record.events), ESTIMATED
