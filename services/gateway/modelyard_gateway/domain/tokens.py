"""How many tokens a request took, in the one way that all protocols' usages come down to."""

from collections.abc import Mapping
from typing import Any

from modelyard_contracts.usage import LARGEST

BYTES_PER_TOKEN = 4
"""Of a request's body, where its answer broke off before its usage: a rough estimate."""

Tokens = tuple[int, int, int]
"""Read, with those that a cache had among them; made; those that a cache had."""


def tokens_of(usage: Mapping[str, Any]) -> Tokens:
    """OpenAI's, old and new, and Anthropic's usage; what one does not say is 0."""
    if (
        len(usage) == 3
        and "prompt_tokens" in usage
        and "completion_tokens" in usage
        and "total_tokens" in usage
    ):
        read, made = usage["prompt_tokens"], usage["completion_tokens"]
        if type(read) is type(made) is int and 0 <= read <= LARGEST and 0 <= made <= LARGEST:
            return read, made, 0
    if "prompt_tokens" in usage:
        read, details = usage["prompt_tokens"], usage.get("prompt_tokens_details")
    else:
        read, details = usage.get("input_tokens", 0), usage.get("input_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    if "cache_read_input_tokens" in usage:  # Anthropic counts these apart from its input_tokens
        cached = _whole(usage["cache_read_input_tokens"])
        read = _whole(read) + cached + _whole(usage.get("cache_creation_input_tokens"))
    made = usage["completion_tokens"] if "completion_tokens" in usage else usage.get("output_tokens", 0)
    return min(_whole(read), LARGEST), _whole(made), _whole(cached)


def estimated(bytes_in: int, events: int) -> Tokens:
    """Of an answer that broke off: an event is about a token."""
    return min(bytes_in // BYTES_PER_TOKEN, LARGEST), events, 0


def _whole(number: object) -> int:
    return number if isinstance(number, int) and 0 <= number <= LARGEST else 0
