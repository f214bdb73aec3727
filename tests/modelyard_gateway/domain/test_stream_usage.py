"""A stream's usage is asked for, seen, and kept from clients who did not ask; nothing else changes."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_gateway.domain.stream_usage import UsageHidden, asking_for_usage
from modelyard_gateway.domain.tokens import Tokens, tokens_of

SAID = b'data: {"choices":[{"delta":{"content":"a \\"usage\\":{} b"}}],"usage":null}'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
DONE = b"data: [DONE]"


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ('{"stream": true, "x": 1}', '{"stream_options":{"include_usage":true},"stream": true, "x": 1}'),
        (
            '{"stream_options": {"a": "ü}"}, "stream":true}',
            '{"stream_options": {"a": "\\u00fc}", "include_usage": true}, "stream":true}',
        ),
        (
            '{"stream":true,"stream_options":null}',
            '{"stream":true,"stream_options":{"include_usage": true}}',
        ),
        ('{"stream": true, "stream_options": {"include_usage": true}}', None),
        ('{"stream": false}', None),
        ('{"tools": [{"stream": true}]}', None),
        ('{"messages": "\\"stream\\": true"}', None),
        ('{"stream": true', None),
        ('["stream", true]', None),
        ('{"stream": true, "stream_options": {}, "x": {"stream_options": 1}}', None),
    ],
)
def test_only_streams_that_say_no_usage_are_asked_for_it(body: str, asked: str | None) -> None:
    found = asking_for_usage(body.encode())
    assert (None if found is None else found.decode()) == asked
    if asked is not None:
        assert json.loads(asked)["stream_options"]["include_usage"] is True


@given(st.sampled_from([b"\n\n", b"\r\n\r\n"]), st.lists(st.integers(0, 200), max_size=8))
def test_the_event_of_the_usage_goes_however_the_stream_is_cut(end: bytes, cuts: list[int]) -> None:
    stream = end.join([SAID, b": a comment", SAID, USAGE, DONE, b""])
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    hidden = UsageHidden()
    got = [hidden.passes(stream[a:b], b == len(stream)) for a, b in itertools.pairwise(places)]
    assert b"".join(got) == end.join([SAID, b": a comment", SAID, DONE, b""])


def test_whole_events_are_not_held_back() -> None:
    hidden = UsageHidden()
    assert hidden.passes(SAID + b"\n\n", False) == SAID + b"\n\n"
    assert hidden.passes(SAID + b"\n\ndata: {", False) == SAID + b"\n\n"
    assert hidden.passes(b"}\n\n", False) == b"data: {}\n\n"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, (3, 4, 0)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}}, (9, 0, 5)),
        ({"input_tokens": 9, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}}, (9, 2, 1)),
        (
            {
                "input_tokens": 1,
                "output_tokens": 2,
                "cache_read_input_tokens": 30,
                "cache_creation_input_tokens": 4,
            },
            (35, 2, 30),
        ),
        ({"type": "duration", "seconds": 3}, (0, 0, 0)),
        ({"prompt_tokens": "many", "completion_tokens": -1, "prompt_tokens_details": None}, (0, 0, 0)),
    ],
)
def test_all_protocols_usages_come_down_to_the_same(usage: dict[str, object], tokens: Tokens) -> None:
    assert tokens_of(usage) == tokens
