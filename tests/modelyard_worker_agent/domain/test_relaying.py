"""What the relay makes of the first request of a connection."""

import pytest
from modelyard_worker_agent.domain.relaying import MAX_HEAD, NotOpened, is_loopback, known_as, opening

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: w\r\n%bContent-Length: 2\r\n\r\n{}"


def test_the_token_is_taken_out_and_nothing_else() -> None:
    assert opening(REQUEST % b"X-Modelyard-Relay: abc\r\n") == (b"abc", REQUEST % b"")
    assert opening(REQUEST % b"x-modelyard-relay:abc \r\n") == (b"abc", REQUEST % b"")


def test_a_head_that_is_not_whole_is_waited_for() -> None:
    whole = REQUEST % b"X-Modelyard-Relay: abc\r\n"
    end = whole.find(b"\r\n\r\n") + 4
    assert {opening(whole[:length]) for length in range(end)} == {None}
    assert opening(whole[:end]) is not None


@pytest.mark.parametrize(
    "lines", [b"", b"X-Modelyard-Relay: a\r\nX-Modelyard-Relay: b\r\n", b"X-Modelyard-Relayed: abc\r\n"]
)
def test_without_exactly_one_token_nothing_is_opened(lines: bytes) -> None:
    with pytest.raises(NotOpened) as refused:
        opening(REQUEST % lines)
    assert refused.value.status == 401


def test_a_token_in_the_body_is_none() -> None:
    with pytest.raises(NotOpened):
        opening(b"POST / HTTP/1.1\r\n\r\nX-Modelyard-Relay: abc\r\n\r\n")


def test_an_endless_head_is_refused() -> None:
    with pytest.raises(NotOpened) as refused:
        opening(b"GET / HTTP/1.1\r\n" + b"a" * MAX_HEAD)
    assert refused.value.status == 431


def test_tokens_are_known_by_their_hash() -> None:
    assert known_as(b"abc") != known_as(b"abd")
    assert "abc" not in known_as(b"abc")


def test_which_addresses_nobody_else_can_mean() -> None:
    assert [is_loopback(address) for address in ("127.0.0.1", "::1", "127.0.0.2", "localhost")] == [True] * 4
    assert [is_loopback(address) for address in ("10.0.0.4", "worker", "0.0.0.0")] == [False] * 3
