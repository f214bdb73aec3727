"""A long body asks for its stream's usage at its end, however it is cut; its length never depends on that."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_gateway.domain.long_body import ADDED, AskedAtTheEnd

TEXT = json.dumps({"role": "user", "content": 'say "stream": true \\ and {"stream_options": 1'})
BODIES = [
    (f'{{"model":"m","messages":[{TEXT}],"stream":true}}', True),
    (f'{{"stream" : true, "messages":[{TEXT}]}}\r\n', True),
    (f'{{"stream":false,"messages":[{TEXT}]}}', False),
    (f'{{"messages":[{TEXT}]}}', False),
    ('{"stream":true,"stream_options":{"include_usage":false}}', False),
    ('{"stream_options":null,"stream":true}', False),
    ('{"tools":[{"stream":true}],"user":"\\\\","x":{"stream":true}}', False),
    ('{"stream":true,"stream":false}', False),
    ('{"stream":true', False),
    ('["stream",true]', False),
]


def sent(body: bytes, cuts: list[int]) -> tuple[bytes, bool]:
    asking, at, found = AskedAtTheEnd(), 0, b""
    for cut in sorted(cut % (len(body) + 1) for cut in cuts):
        found += asking.passes(body[at:cut], False)
        at = cut
    return found + asking.passes(body[at:], True), asking.asked


@pytest.mark.parametrize(("body", "asked"), BODIES, ids=range(len(BODIES)))
@given(cuts=st.lists(st.integers(0, 400), max_size=12))
def test_the_usage_is_asked_for_where_a_stream_is_and_nothing_else_changes(
    body: str, asked: bool, cuts: list[int]
) -> None:
    text = body.encode()
    found, said = sent(text, cuts)
    assert (said, len(found)) == (asked, len(text) + len(ADDED))
    if asked:
        assert json.loads(found) == {**json.loads(text), "stream_options": {"include_usage": True}}
    else:
        assert found == text + b" " * len(ADDED)
