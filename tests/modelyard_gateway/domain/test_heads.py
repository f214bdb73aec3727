import pytest
from modelyard_gateway.domain.framing import Chunked, Length, Malformed, UntilClose
from modelyard_gateway.domain.headers import Known
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.request_head import RequestHead, parse_request
from modelyard_gateway.domain.response_head import parse_response

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


def test_credentials_hop_by_hop_and_internal_headers_never_reach_a_model_server() -> None:
    head = parse_request(
        b"POST /x HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer secret\r\nX-API-Key: secret\r\n"
        b"Cookie: session=secret\r\nProxy-Authorization: secret\r\n"
        b"Connection: keep-alive, X-Drop-Me , close\r\n"
        b"Connection: x-drop-me-too\r\nX-Drop-Me: 1\r\nX-DROP-me-too: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
        b"Trailer: x\r\nTransfer-Encoding: chunked\r\nUpgrade: websocket\r\nExpect: 100-continue\r\n"
        b"X-Request-Id: forged\r\nX-Modelyard-User: admin\r\nX-GPUStack-Access-Key: forged\r\n\r\n"
    )
    assert head.start == b"POST /x HTTP/1.1\r\n"


def test_everything_else_is_kept_with_its_order_and_its_duplicates() -> None:
    lines = [
        b"Accept: a\r\n",
        b"x-custom: \xe9\r\n",
        b"accept: b\r\n",
        b"X-GPUStack-Model: tiny\r\n",
        b"Content-Type: text/plain\r\n",
        b"traceparent: 00-1-2-01\r\n",
    ]
    head = parse_request(b"POST /x?y HTTP/1.1\r\nHost: a\r\n" + b"".join(lines) + b"\r\n")
    assert head.start == b"POST /x?y HTTP/1.1\r\n" + b"".join(lines)
    assert (head.method, head.path) == (b"POST", b"/x")
    assert head.fields[b"x-gpustack-model"] == b"tiny"


def test_a_model_server_plants_no_cookies_and_forges_no_internal_headers() -> None:
    head = parse_response(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSet-Cookie: a=b\r\n"
        b"Connection: keep-alive, x-a\r\n"
        b"X-A: 1\r\nTransfer-Encoding: chunked\r\nX-Modelyard-Usage: 0\r\n"
        b"Date: then\r\nX-Request-Id: theirs\r\n"
        b"Server: llama.cpp\r\n\r\n"
    )
    assert head.start == b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nServer: llama.cpp\r\n"


@pytest.mark.parametrize(
    "head",
    [
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n",
        POST + b"Content-Length: 3, 3\r\n\r\n",
        POST + b"Content-Length: +3\r\n\r\n",
        POST + b"Content-Length: 0x3\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: \r\n\r\n",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        POST + b"Content-Length : 3\r\n\r\n",
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n",
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n",
        POST + b"Transfer_Encoding: chunked\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"A: b\r\n c\r\n\r\n",
        POST + b"A: b\r\n\tc\r\n\r\n",
        POST + b"A: b\nC: d\r\n\r\n",
        POST + b"A: b\rC: d\r\n\r\n",
        POST + b"A: b\x00c\r\n\r\n",
        POST + b": b\r\n\r\n",
        POST + b"A\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        GET + b"Host: b\r\n\r\n",
        GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        GET + b"X-GPUStack-Model: a\r\nX-GPUStack-Model: b\r\n\r\n",
        GET + b"".join(b"A%d: b\r\n" % n for n in range(300)) + b"\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"SOURCE / ICE/1.1\r\nHost: a\r\n\r\n",
        b"GET / RTSP/1.1\r\nHost: a\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"NOSUCH / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_request_that_two_servers_could_read_differently_is_refused(head: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        parse_request(head)
    assert (refused.value.status, refused.value.code) == (400, "invalid_http")


def test_the_absolute_form_of_a_target_is_a_path() -> None:
    assert parse_request(b"GET http://h:1/a?b HTTP/1.1\r\nHost: h:1\r\n\r\n").path == b"/a"
    assert parse_request(b"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n").path == b"/"


def test_where_a_requests_body_ends() -> None:
    def told(lines: bytes) -> tuple[int, bool]:
        head = parse_request(POST + lines + b"\r\n")
        return head.length, head.chunked

    assert told(b"") == (-1, False)
    assert told(b"Content-Length: 3 \r\n") == (3, False)
    assert told(b"Transfer-Encoding: Chunked\r\n") == (-1, True)


def test_where_an_answers_body_ends() -> None:
    plain = parse_response(b"HTTP/1.1 200 OK\r\n\r\n")
    assert isinstance(plain.body(), UntilClose)
    counted = parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
    assert isinstance(counted.body(), Length)
    chunked = parse_response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert isinstance(chunked.body(), Chunked)
    assert counted.bodiless(b"HEAD")
    assert not counted.bodiless(b"GET")
    for status in (204, 304):
        assert parse_response(b"HTTP/1.1 %d X\r\n\r\n" % status).bodiless(b"GET")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
    ],
)
def test_an_answer_that_breaks_http_is_not_taken(head: bytes) -> None:
    with pytest.raises(Malformed):
        parse_response(head)


def test_only_a_websocket_may_be_upgraded_to() -> None:
    def wants(method: bytes, upgrade: bytes, more: bytes = b"Sec-WebSocket-Key: x\r\n") -> bool:
        lines = b"Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: " + upgrade + b"\r\n" + more
        return parse_request(method + b" / HTTP/1.1\r\n" + lines + b"\r\n").wants_websocket()

    assert wants(b"GET", b"WebSocket")
    assert not wants(b"GET", b"h2c")
    assert not wants(b"GET", b"websocket, h2c")
    assert not wants(b"GET", b"websocket", b"")
    assert not wants(b"POST", b"websocket")


@pytest.mark.parametrize("given", [b"a", b"A1._-z", b"x" * 128])
def test_a_sane_request_id_is_kept(given: bytes) -> None:
    assert parse_request(GET + b"X-Request-Id: " + given + b"\r\n\r\n").request_id == given


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 129, b"\xe9", b'"', b"a/b"])
def test_any_other_is_not(given: bytes) -> None:
    assert parse_request(GET + b"X-Request-Id: " + given + b"\r\n\r\n").request_id is None
    assert parse_request(GET + b"\r\n").request_id is None


# --- heads that are known already


def test_a_head_that_differs_in_its_length_alone_is_parsed_once() -> None:
    def counting(text: bytes) -> RequestHead:
        parsed.append(text)
        return parse_request(text)

    parsed: list[bytes] = []
    known = Known(counting)
    for length in (3, 4, 500, 3):
        head = known.read(POST + b"X: y\r\nContent-Length: %d\r\n\r\n" % length)
        assert head.length == length
        assert head.message == b"POST / HTTP/1.1\r\nX: y\r\nContent-Length: %d\r\n" % length
    assert len(parsed) == 1
    assert known.read(POST + b"X: z\r\nContent-Length: 3\r\n\r\n").length == 3
    assert len(parsed) == 2


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: \r\n",
        b"Content-Length: 3\r\nContent-Length: \r\n",
        b"Content-Length: \r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\ncontent-length: 3\r\n",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 1_0\r\n",
        b"Content-Length: \xb2\r\n",
    ],
)
def test_knowing_heads_lets_nothing_pass_that_parsing_does_not(lines: bytes) -> None:
    known = Known(parse_request)
    known.read(POST + b"Content-Length: 3\r\n\r\n")
    known.read(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(2):
        with pytest.raises(Refusal):
            known.read(POST + lines + b"\r\n")


def test_what_is_known_stays_bounded() -> None:
    known = Known(parse_request, most=10)
    for n in range(100):
        assert known.read(GET + b"X: %d\r\n\r\n" % n).start.endswith(b"X: %d\r\n" % n)
    assert len(known._known) <= 10
