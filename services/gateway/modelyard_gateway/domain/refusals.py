"""Every reason to answer a request with an error of our own, in the words and codes of OpenAI's API."""

from modelyard_gateway.domain.quota import Excess


class Refusal(Exception):
    """Answered as `{"error": {"message", "type", "param", "code"}}`; caught once, at the edge."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str,
        code: str,
        param: str | None = None,
        retry_after_s: int | None = None,
        allow: str | None = None,
        lines: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.allow = allow
        self.lines = lines
        """Header lines."""


INVALID = "invalid_request_error"
UNAVAILABLE = "service_unavailable_error"
UPSTREAM = "upstream_error"


def bad_request(message: str, code: str, *, param: str | None = None) -> Refusal:
    return Refusal(400, message, kind=INVALID, code=code, param=param)


def missing_model(message: str) -> Refusal:
    return bad_request(message, "missing_model", param="model")


def request_not_found(request_id: str) -> Refusal:
    message = f"No request {request_id} that you may ask for is remembered by any gateway."
    return Refusal(404, message, kind=INVALID, code="request_not_found")


def others_unknown(request_id: str) -> Refusal:
    message = f"This process did not serve request {request_id}, and cannot ask others while NATS is away."
    return Refusal(503, message, kind=UNAVAILABLE, code="not_ready", retry_after_s=1)


def no_websocket() -> Refusal:
    message = "This path speaks WebSocket alone: send a handshake (RFC 6455)."
    return Refusal(426, message, kind=INVALID, code="upgrade_required")


def unknown_url(method: str, path: str) -> Refusal:
    return Refusal(404, f"Not Found: {method} {path}", kind=INVALID, code="unknown_url")


def method_not_allowed(method: str, path: str, allow: str) -> Refusal:
    message = f"Method Not Allowed: {method} {path}"
    return Refusal(405, message, kind=INVALID, code="method_not_allowed", allow=allow)


def head_too_large(limit_bytes: int) -> Refusal:
    message = f"The request's headers are larger than {limit_bytes} bytes."
    return Refusal(431, message, kind=INVALID, code="headers_too_large")


def too_slow(what: str) -> Refusal:
    return Refusal(408, f"The request's {what} did not come in time.", kind=INVALID, code="request_timeout")


def too_large(limit_bytes: int) -> Refusal:
    message = f"The request body is larger than the {limit_bytes} bytes that are read to find its model."
    return Refusal(413, message, kind=INVALID, code="request_too_large")


def unauthenticated(message: str) -> Refusal:
    return Refusal(401, message, kind="authentication_error", code="invalid_api_key")


def out_of_scope() -> Refusal:
    message = "This API key is for management alone: make one with the scope 'inference'."
    return Refusal(403, message, kind="permission_error", code="key_out_of_scope")


def model_not_allowed(name: str) -> Refusal:
    message = f"This API key may not call the model '{name}'."
    return Refusal(403, message, kind="permission_error", code="model_not_allowed", param="model")


def model_not_found(name: str) -> Refusal:
    message = f"The model '{name}' does not exist."
    return Refusal(404, message, kind=INVALID, code="model_not_found", param="model")


def route_not_found(route_id: int) -> Refusal:
    """For a route that does not exist and for one that is not open to the generic proxy alike."""
    message = f"There is no route {route_id} with the generic proxy switched on."
    return Refusal(404, message, kind=INVALID, code="route_not_found")


def proxy_not_enabled(name: str) -> Refusal:
    message = f"There is no model '{name}' with the generic proxy switched on."
    return Refusal(404, message, kind=INVALID, code="model_not_found", param="model")


def no_instance(name: str, retry_after_s: int) -> Refusal:
    message = f"No instance of the model '{name}' is running."
    return Refusal(503, message, kind=UNAVAILABLE, code="no_running_instance", retry_after_s=retry_after_s)


def over_limit(of: str, over: Excess, lines: bytes) -> Refusal:
    message = f"The limit of this {of} is {over.limit} {over.what}. Try again in {over.retry_after_s} s."
    return Refusal(
        429,
        message,
        kind="rate_limit_error",
        code="rate_limit_exceeded",
        retry_after_s=over.retry_after_s,
        lines=lines,
    )


def queue_full(name: str, retry_after_s: int) -> Refusal:
    message = f"Too many requests wait for the model '{name}' already."
    return Refusal(429, message, kind="rate_limit_error", code="queue_full", retry_after_s=retry_after_s)


def queue_timeout(name: str, retry_after_s: int) -> Refusal:
    message = f"No instance of the model '{name}' had room in time."
    return Refusal(503, message, kind=UNAVAILABLE, code="queue_timeout", retry_after_s=retry_after_s)


def not_ready(retry_after_s: int) -> Refusal:
    message = "The gateway is starting and does not know its routes yet."
    return Refusal(503, message, kind=UNAVAILABLE, code="not_ready", retry_after_s=retry_after_s)


def unreachable(name: str, tried: int) -> Refusal:
    message = f"Could not connect to any of the {tried} running instance(s) of the model '{name}'."
    return Refusal(502, message, kind=UPSTREAM, code="instance_unreachable")


def broken(name: str) -> Refusal:
    message = f"The instance of the model '{name}' ended the connection before it answered."
    return Refusal(502, message, kind=UPSTREAM, code="instance_failed")


def provider_refused(name: str) -> Refusal:
    message = f"The provider of the model '{name}' does not accept the key that is kept for it."
    return Refusal(502, message, kind=UPSTREAM, code="provider_refused")


def timed_out(name: str) -> Refusal:
    message = f"The instance of the model '{name}' sent nothing for too long."
    return Refusal(504, message, kind=UPSTREAM, code="instance_timeout")
