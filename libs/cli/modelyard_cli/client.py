"""The public REST API, as the commands use it."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from modelyard_cli.config import Target
from modelyard_cli.errors import CliError, UsageError

Json = dict[str, Any]

TIMEOUT_S = 30.0
PAGE = 100


class Api:
    """Every method raises `CliError` with the api's own words when it says no."""

    def __init__(self, target: Target) -> None:
        self.url = target.url
        headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
        # a proxy of the environment is for the internet, not for an address on this machine
        local = httpx.URL(target.url).host in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.Client(
            base_url=target.url,
            headers=headers,
            timeout=TIMEOUT_S,
            trust_env=not local,
            verify=_trusted(),
        )

    def get(self, path: str, /, **params: Any) -> Any:
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("POST", path, json=body)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("PUT", path, json=body)

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def items(self, path: str, **params: Any) -> list[Json]:
        """All of a list, page by page."""
        found: list[Json] = []
        page = 1
        while True:
            body = self.get(path, **params, page=page, perPage=PAGE)
            found.extend(body["items"])
            if page >= body["pagination"]["totalPage"]:
                return found
            page += 1

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str] | None = None, **params: Any
    ) -> Iterator[httpx.Response]:
        """The answer as it comes, without a limit on the time between two pieces."""
        timeout = httpx.Timeout(TIMEOUT_S, read=None)
        try:
            with self._http.stream("GET", path, params=params, headers=headers, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                    raise self._refusal(response)
                yield response
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise self._refusal(response)
        try:
            return response.json()
        except ValueError as error:
            raise CliError(f"What answers at {self.url} is not Modelyard's api.") from error

    def _unreachable(self, error: httpx.HTTPError) -> CliError:
        if isinstance(error, httpx.ConnectError):
            return CliError(
                f"No api answers at {self.url}.",
                hint="Start Modelyard with 'modelyard up', or name another address with --url.",
            )
        return CliError(f"The api at {self.url} broke off: {error or type(error).__name__}.")

    def _refusal(self, response: httpx.Response) -> CliError:
        try:
            message = str(response.json()["message"])
        except (ValueError, KeyError, TypeError):
            message = f"{self.url} answered {response.status_code} {response.reason_phrase}"
        hint = None
        if response.status_code == httpx.codes.UNAUTHORIZED:
            hint = "Log in with 'modelyard login', or give an API key in MODELYARD_API_KEY."
        return CliError(message, hint=hint)


def _trusted() -> ssl.SSLContext | bool:
    """Raises `UsageError`."""
    ca = os.environ.get("MODELYARD_CA")
    if not ca:
        return True
    from modelyard_runtime.settings import BadSettings
    from modelyard_runtime.trust import trusting

    try:
        return trusting(ca) or True
    except BadSettings as error:
        raise UsageError(str(error)) from error
