import pytest
from modelyard_gateway.domain.headers import downstream_headers, sane_request_id, upstream_headers


def test_credentials_hop_by_hop_and_internal_headers_never_reach_a_model_server() -> None:
    received = [
        (b"host", b"gateway"),
        (b"authorization", b"Bearer secret"),
        (b"x-api-key", b"secret"),
        (b"cookie", b"session=secret"),
        (b"proxy-authorization", b"secret"),
        (b"connection", b"keep-alive, X-Drop-Me , close"),
        (b"connection", b"x-drop-me-too"),
        (b"x-drop-me", b"1"),
        (b"x-drop-me-too", b"1"),
        (b"keep-alive", b"5"),
        (b"te", b"trailers"),
        (b"trailer", b"x"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"expect", b"100-continue"),
        (b"x-request-id", b"forged"),
        (b"x-modelyard-user", b"admin"),
        (b"x-gpustack-access-key", b"forged"),
    ]
    assert upstream_headers(received, b"id-1") == [(b"x-request-id", b"id-1")]


def test_everything_else_is_kept_with_its_order_and_its_duplicates() -> None:
    received = [
        (b"accept", b"a"),
        (b"x-custom", b"\xe9"),
        (b"accept", b"b"),
        (b"content-length", b"3"),
        (b"x-gpustack-model", b"tiny"),
        (b"traceparent", b"00-1-2-01"),
    ]
    assert upstream_headers(received, b"i") == [*received, (b"x-request-id", b"i")]


def test_a_model_server_plants_no_cookies_and_forges_no_internal_headers() -> None:
    received = [
        (b"Content-Type", b"text/event-stream"),
        (b"Set-Cookie", b"a=b"),
        (b"Connection", b"keep-alive"),
        (b"Transfer-Encoding", b"chunked"),
        (b"X-Modelyard-Usage", b"0"),
        (b"Date", b"then"),
        (b"X-Request-Id", b"theirs"),
        (b"Server", b"llama.cpp"),
    ]
    assert downstream_headers(received) == [
        (b"content-type", b"text/event-stream"),
        (b"server", b"llama.cpp"),
    ]


@pytest.mark.parametrize("given", [b"a", b"A1._-z", b"x" * 128])
def test_a_sane_request_id_is_kept(given: bytes) -> None:
    assert sane_request_id(given) == given.decode()


@pytest.mark.parametrize("given", [None, b"", b"a b", b"x" * 129, b"a\n", b"\xe9", b'"', b"a/b"])
def test_any_other_is_not(given: bytes | None) -> None:
    assert sane_request_id(given) is None
