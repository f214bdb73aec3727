"""What a path means, and the path that the model server gets for it."""

from enum import Enum
from typing import NamedTuple

from modelyard_gateway.domain.proxy_path import PREFIX, parse_proxy_path

INFERENCE = frozenset(
    b"/v1/" + path
    for path in (
        b"chat/completions",
        b"completions",
        b"responses",
        b"embeddings",
        b"rerank",
        b"score",
        b"moderations",
        b"images/generations",
        b"images/edits",
        b"images/variations",
        b"audio/speech",
        b"audio/transcriptions",
        b"audio/translations",
        b"messages",
        b"messages/count_tokens",
    )
)
"""OpenAI's paths, those of vLLM beside them, and Anthropic's."""
ALIAS = b"/v1-openai/"
RERANK = (b"/v2/rerank", b"/v1/rerank")
"""Cohere's newer address of the same."""
REALTIME = b"/v1/realtime"


class Kind(Enum):
    INFERENCE = "the body names the model"
    PROXIED = "the generic proxy"
    REALTIME = "a WebSocket whose query names the model"
    LOCAL = "the gateway answers"


class Meaning(NamedTuple):
    kind: Kind
    target: bytes
    """For the model server; for a local path, the path without its alias."""
    route_id: int | None = None
    """Of the generic proxy's path."""
    older: bool = False
    """It was said in the older form `/v1-openai`."""


def meaning_of(path: bytes) -> Meaning:
    older = path.startswith(ALIAS)
    if older:
        path = b"/v1/" + path[len(ALIAS) :]
    if path == RERANK[0]:
        path = RERANK[1]
    if path == REALTIME:
        return Meaning(Kind.REALTIME, path, older=older)
    if path in INFERENCE:
        return Meaning(Kind.INFERENCE, path, older=older)
    proxied = parse_proxy_path(path) if path.startswith(PREFIX) else None
    if proxied is not None:
        return Meaning(Kind.PROXIED, proxied.upstream, proxied.route_id)
    return Meaning(Kind.LOCAL, path, older=older)
