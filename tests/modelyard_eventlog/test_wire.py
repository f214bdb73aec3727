import pytest
from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import NameClaimed
from modelyard_eventlog.wire import decode_event, encode_event
from modelyard_eventlog_cases import cause


def claimed(name: str) -> NameClaimed:
    return NameClaimed(kind=Aggregate.DEPLOYMENT, name=name, claimed_by=1)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a\0b\0", "a\ufffdb\ufffd"),
        (r"a\u0000b", r"a\u0000b"),
        ("a\\\0b", "a\\\ufffdb"),
        ("plain", "plain"),
    ],
    ids=["nul", "the letters of its escape", "after a backslash", "none"],
)
def test_no_event_holds_nul(said: str, kept: str) -> None:
    headers, body = encode_event(claimed(said), cause("c"), 0)
    decoded = decode_event(1, "evt.name.a", headers, body)
    assert decoded.data == claimed(kept)


def test_nul_that_an_older_log_holds_is_not_read() -> None:
    headers, _ = encode_event(claimed("a"), cause("c"), 0)
    body = claimed("a\0b").model_dump_json().encode()
    assert decode_event(1, "evt.name.a", headers, body).data == claimed("a\ufffdb")
