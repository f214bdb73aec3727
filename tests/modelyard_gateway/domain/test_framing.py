import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_gateway.domain.framing import Body, Chunked, Length, Malformed

chunks = st.lists(st.binary(min_size=1, max_size=40), max_size=5)
cuts = st.lists(st.integers(0, 300), max_size=8)


def fed(body: Body, message: bytes, at: list[int]) -> tuple[bytes, bytes, bool]:
    """Body, rest and whether it is whole, of a message that comes in pieces."""
    found = rest = b""
    places = sorted({0, *(place for place in at if place < len(message)), len(message)})
    for start, end in itertools.pairwise(places):
        piece = message[start:end]
        if not body.done:
            data, piece = body.feed(piece)
            found += data
        rest += piece
    return found, rest, body.done


@given(chunks, cuts, st.booleans())
def test_a_chunked_body_is_the_same_in_whatever_pieces_it_comes(
    parts: list[bytes], at: list[int], strict: bool
) -> None:
    message = b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\nnext"
    assert fed(Chunked(strict=strict), message, at) == (b"".join(parts), b"next", True)


@given(chunks, cuts)
def test_extensions_and_trailers_of_an_answer_are_dropped(parts: list[bytes], at: list[int]) -> None:
    message = b"".join(b'0%x;a="b" ;c\r\n%b\r\n' % (len(part), part) for part in parts)
    message += b"000;x\r\nTrailer: 1\r\nUsage: 2\r\n\r\nnext"
    assert fed(Chunked(strict=False), message, at) == (b"".join(parts), b"next", True)


@given(st.binary(max_size=200), st.binary(max_size=20), cuts)
def test_a_counted_body_ends_where_it_was_said(body: bytes, rest: bytes, at: list[int]) -> None:
    assert fed(Length(len(body)), body + rest, at) == (body, rest, True)


@pytest.mark.parametrize(
    "message",
    [
        b"3;a=b\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"1_0\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"g\r\n",
        b"3\nabc\n0\n\n" + b" " * 2000,
        b"3\r\nabcX\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n\r\n",
        b"f" * 17 + b"\r\n",
        b"1" * 2000,
    ],
)
@given(cuts)
def test_whatever_is_no_plain_framing_is_refused(message: bytes, at: list[int]) -> None:
    with pytest.raises(Malformed):
        fed(Chunked(strict=True), message, at)


def test_trailers_without_end_are_refused() -> None:
    body = Chunked(strict=True)
    body.feed(b"0\r\n")
    with pytest.raises(Malformed):
        for _ in range(10_000):
            body.feed(b"A: b\r\n")


@given(st.binary(max_size=300), st.sampled_from([b"%x", b"%X", b"0%x", b" %x", b"0x%x", b"%x;a=b", b"+%x"]))
def test_one_whole_chunk_is_known_as_such_and_nothing_else_is(data: bytes, size: bytes) -> None:
    framed = b"%b\r\n%b\r\n" % (size % len(data), data)
    plain = data if size in (b"%x", b"%X", b"0%x") else b""
    assert Chunked(strict=False).only(framed) == plain
    assert Chunked(strict=False).only(framed[:-1]) == b""
    assert Chunked(strict=False).only(framed + b"0\r\n\r\n") == b""
    begun = Chunked(strict=False)
    begun.feed(b"5\r\nab")
    assert begun.only(framed) == b""
