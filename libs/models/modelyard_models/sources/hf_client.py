"""The HTTP client that huggingface_hub is given: it bounds time and memory, and names what goes wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import hf_request_event_hook

from modelyard_models.sources.answers import MOST_ANSWER_BYTES, refuse_compressed, refuse_status, too_large
from modelyard_models.sources.deadline import step_s
from modelyard_models.sources.errors import Unreachable

UNASKED = "/api/agent-harnesses"
"""The library asks its default endpoint this on its own account; the answer only decorates a header."""


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        taken = 0
        for chunk in self._stream:
            step_s()
            taken += len(chunk)
            if taken > MOST_ANSWER_BYTES:
                raise too_large()
            yield chunk

    def close(self) -> None:
        self._stream.close()


class HubClient(httpx2.Client):
    """Keeps the hub's limits and faults from the library, which would retry and wait on its own."""

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if request.url.path == UNASKED:
            raise httpx2.RequestError("not asked", request=request)
        request.headers["Accept-Encoding"] = "identity"
        request.extensions["timeout"] = httpx2.Timeout(step_s()).as_dict()
        with named_faults():
            return super().send(request, **options)


@contextmanager
def named_faults() -> Iterator[None]:
    """Turns the transport's exceptions into `SourceError`."""
    try:
        yield
    except httpx2.TimeoutException as error:
        raise Unreachable("no answer in time") from error
    except httpx2.RequestError as error:
        raise Unreachable(f"the connection failed: {error or type(error).__name__}") from error


def _bound(response: httpx2.Response) -> None:
    """Before any of the body is read."""
    refuse_status(response.status_code, response.headers)
    refuse_compressed(response.headers)
    if isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _Bounded(response.stream)


def install(proxy: str | None) -> None:
    """huggingface_hub knows one client for the whole process; without `proxy`, `HTTPS_PROXY` counts."""
    set_client_factory(
        lambda: HubClient(
            event_hooks={"request": [hf_request_event_hook], "response": [_bound]},
            follow_redirects=True,
            proxy=proxy,
        )
    )
