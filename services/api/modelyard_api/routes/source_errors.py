"""What a source of models could not give, as a refusal."""

import math
from collections.abc import Mapping

from modelyard_models.sources.errors import (
    BadAnswer,
    BadCoordinates,
    Denied,
    Limited,
    NotThere,
    Offline,
    SourceError,
    Unreachable,
)

from modelyard_api.domain.errors import Refusal

REASONS: Mapping[type[SourceError], tuple[int, str]] = {
    BadCoordinates: (422, "Invalid"),
    NotThere: (404, "NotFound"),
    Denied: (403, "SourceDenied"),
    Limited: (429, "TooManyRequests"),
    Unreachable: (504, "SourceUnreachable"),
    BadAnswer: (502, "BadSource"),
    Offline: (409, "Offline"),
}


def of_source(error: SourceError) -> tuple[Refusal, Mapping[str, str]]:
    """The refusal and the headers that go with it."""
    code, reason = REASONS[type(error)]
    wait_s = error.retry_after_s if isinstance(error, Limited) else None
    headers = {} if wait_s is None else {"Retry-After": str(math.ceil(wait_s))}
    return Refusal(code, reason, str(error)), headers
