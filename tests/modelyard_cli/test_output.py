from modelyard_cli.chat import pieces
from modelyard_cli.commands.events import server_sent
from modelyard_cli.output import table


def test_columns_are_aligned_and_nothing_is_a_dash() -> None:
    rows = [("a", None), ("long", "first\nsecond")]
    assert table(("NAME", "STATE"), rows) == ["NAME  STATE", "a     -", "long  first"]


def test_server_sent_events_are_put_together() -> None:
    lines = [": hello", "", "id: 7", "event: X", "data: {", "data: }", "", "id: 8", "data:1", ""]
    assert list(server_sent(lines)) == [("7", "{\n}"), ("8", "1")]


def test_the_text_of_a_streamed_chat() -> None:
    lines = [
        'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}',
        "",
        'data: {"choices":[{"delta":{"content":"Par"}}]}',
        'data: {"choices":[{"delta":{"content":"is"}}]}',
        'data: {"choices":[]}',
        "data: [DONE]",
    ]
    assert list(pieces(iter(lines))) == ["Par", "is"]
