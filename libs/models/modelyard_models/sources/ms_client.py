"""Binds the sessions of ModelScope's client to limits of time and memory, and names what goes wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from modelscope_hub._legacy_api import LegacyClient
from modelscope_hub.api import HubApi
from modelscope_hub.errors import raise_for_status
from requests.adapters import HTTPAdapter

from modelyard_models.sources.answers import MOST_ANSWER_BYTES, refuse_compressed, refuse_status, too_large
from modelyard_models.sources.deadline import step_s
from modelyard_models.sources.errors import BadAnswer, SourceError, Unreachable

CHUNK_BYTES = 1 << 16


class _Bounded(HTTPAdapter):
    """Keeps the hub's limits and faults from the library, which would retry and wait on its own."""

    def send(  # type: ignore[override] # requests passes the rest by name
        self, request: requests.PreparedRequest, stream: bool = False, **options: Any
    ) -> requests.Response:
        request.headers["Accept-Encoding"] = "identity"
        options["timeout"] = step_s()
        try:
            response = super().send(request, stream=True, **options)
        except requests.Timeout as error:
            raise Unreachable("no answer in time") from error
        except requests.RequestException as error:
            raise Unreachable(f"the connection failed: {type(error).__name__}") from error
        try:
            refuse_status(response.status_code, response.headers)
            refuse_compressed(response.headers)
        except SourceError:
            response.close()
            raise
        if response.is_redirect or not stream or response.status_code >= 400:
            most = 0 if response.is_redirect else MOST_ANSWER_BYTES
            _keep(response, most)
        return response


def _keep(response: requests.Response, most: int) -> None:
    """Reads the body now; the library finds it read."""
    body = taken(response, most + 1) if most else b""
    if len(body) > most:
        raise too_large()
    response._content = body
    response._content_consumed = True


def taken(response: requests.Response, length: int) -> bytes:
    """The body's first bytes; the connection is given up if there are more."""
    body = bytearray()
    try:
        for chunk in response.iter_content(CHUNK_BYTES):
            step_s()
            body += chunk
            if len(body) >= length:
                break
    except requests.RequestException as error:
        raise Unreachable(f"the connection failed: {type(error).__name__}") from error
    finally:
        response.close()
    return bytes(body[:length])


@contextmanager
def bounded(api: HubApi, proxy: str | None) -> Iterator[HubApi]:
    """Closes its connections at the end. Without `proxy`, `HTTPS_PROXY` counts."""
    sessions = (
        api.openapi._session,
        api.openapi._read_session,
        api.legacy._session,
        api.legacy._read_session,
    )
    for session in sessions:
        for scheme in ("https://", "http://"):
            session.mount(scheme, _Bounded())
        if proxy:
            session.proxies = {"http": proxy, "https": proxy}
            session.trust_env = False
    try:
        yield api
    finally:
        for session in sessions:
            session.close()


def stream_of(legacy: LegacyClient, url: str, start: int, length: int) -> bytes:
    """At most `length` bytes of a file from `start` on."""
    legacy._ensure_session_auth()
    headers = legacy._headers({"Range": f"bytes={start}-{start + length - 1}"})
    response = legacy._read_session.get(url, headers=headers, stream=True)
    if response.status_code == 416:
        return b""
    raise_for_status(response)
    if start and response.status_code != 206:
        response.close()
        raise BadAnswer("it does not serve parts of files")
    return taken(response, length)
