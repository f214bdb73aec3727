import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_gateway.domain.model_name import model_in_beginning, model_of
from modelyard_gateway.domain.refusals import Refusal


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"model": "a",}',
        b'\xff\xfe{"model"',
        b'["model"]',
        b'"model"',
        b"null",
        b"[" * 100_000,
        b'{"model": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        model_of(body)
    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


@pytest.mark.parametrize(
    "body", [b"{}", b'{"model": null}', b'{"model": ""}', b'{"model": 3}', b'{"Model": "a"}']
)
def test_an_object_without_a_model_is_refused_naming_it(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        model_of(body)
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "missing_model", "model")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
others = st.dictionaries(st.text().filter(lambda k: k != "model"), json_values, max_size=4)


@given(others, others, st.text(min_size=1), st.integers(0, 2000), st.booleans())
def test_a_beginning_gives_the_model_of_the_whole_or_nothing(
    before: dict[str, object], after: dict[str, object], model: str, cut: int, ascii_only: bool
) -> None:
    text = json.dumps({**before, "model": model, **after}, ensure_ascii=ascii_only)
    body = text.encode("utf-8", errors="surrogatepass")
    assert model_in_beginning(body[:cut]) in (None, model_of(body))


def test_a_beginning_that_holds_the_model_is_enough() -> None:
    body = b' {"a": {"model": "inner"}, "b": [1, "]}"], "model" : "outer", "input": "long'
    assert model_in_beginning(body) == "outer"


@pytest.mark.parametrize(
    "beginning", [b"", b"[", b'{"model', b'{"model": "a', b'{"model": 3, "x', b"{" * 9999]
)
def test_a_beginning_without_the_model_gives_nothing(beginning: bytes) -> None:
    assert model_in_beginning(beginning) is None
