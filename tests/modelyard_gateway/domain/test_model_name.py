import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_gateway.domain.model_name import (
    JsonModel,
    MultipartModel,
    first_model,
    missing_in,
    renamed,
    scan_for,
)
from modelyard_gateway.domain.refusals import Refusal


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"a": "a",}',
        b'\xff\xfe{"model"',
        b'["model"]',
        b'"model"',
        b"null",
        b"[" * 100_000,
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    scan = JsonModel()
    assert scan.find(body) is None
    refused = missing_in(body, scan)
    assert (refused.status, refused.code) == (400, "invalid_json")


@pytest.mark.parametrize("body", [b"{}", b'{"Model": "a"}', b'{"a": {"model": "b"}}', b'{"a": "model"}'])
def test_an_object_without_a_model_is_refused_naming_it(body: bytes) -> None:
    scan = JsonModel()
    assert scan.find(body) is None
    refused = missing_in(body, scan)
    assert (refused.status, refused.code, refused.param) == (400, "missing_model", "model")


@pytest.mark.parametrize(
    "body",
    [b'{"model": null}', b'{"model": ""}', b'{"model": 3}', b'{"model": ["a"]}', b'{"model":"\xff"}'],
)
def test_a_model_that_is_no_name_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        JsonModel().find(body)
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "missing_model", "model")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("model"), inner, max_size=3)
    ),
    max_leaves=8,
)
others = st.dictionaries(st.text().filter(lambda k: k != "model"), json_values, max_size=4)
names = st.text(st.characters(codec="utf-8"), min_size=1)


@given(others, others, names, st.lists(st.integers(0, 300), max_size=6), st.booleans(), st.booleans())
def test_the_model_is_found_in_whatever_pieces_the_body_comes(
    before: dict[str, object],
    after: dict[str, object],
    model: str,
    cuts: list[int],
    ascii_only: bool,
    spaced: bool,
) -> None:
    text = json.dumps(
        {**before, "model": model, **after}, ensure_ascii=ascii_only, indent=1 if spaced else None
    )
    body = text.encode("utf-8", errors="surrogatepass")
    scan = JsonModel()
    found = None
    for end in [*sorted(cuts), len(body)]:
        found = scan.find(body[:end])
        if found is not None:
            break
    assert found is not None
    assert found.name == model
    assert json.loads(body[found.start : found.end]) == model
    assert not JsonModel().named_twice(body, found)


def test_a_name_in_escapes_is_the_name() -> None:
    found = JsonModel().find(b'{"x": "\\"model\\": 1", "\\u006dodel": "a\\u0062"}')
    assert found is not None
    assert found.name == "ab"


@pytest.mark.parametrize(
    "again", [b'"model": "b"', b'"\\u006dodel": "b"', b'"model": 1', b'"m\\u006Fdel":"b"']
)
def test_a_second_model_behind_the_first_is_noticed(again: bytes) -> None:
    body = b'{"model": "a", "x": {"model": "c"}, ' + again + b"}"
    found = JsonModel().find(body)
    assert found is not None
    assert JsonModel().named_twice(body, found)


def test_inner_models_and_the_same_one_again_are_no_second() -> None:
    body = b'{"model": "a", "x": {"model": "c"}, "y": "\\u006d", "model": "a"}'
    found = JsonModel().find(body)
    assert found is not None
    assert not JsonModel().named_twice(body, found)


def test_long_strings_are_passed_over_once() -> None:
    """The scan goes on where it was: a body that comes in many pieces costs no more than one in one."""
    body = b'{"image": "' + b"A" * 3_000_000 + b'", "model": "m"}'
    scan = JsonModel()
    found = None
    for end in range(0, len(body) + 10_000, 10_000):
        found = scan.find(body[:end])
    assert found is not None
    assert found.name == "m"


FORM = (
    b'--xx\r\nContent-Disposition: form-data; name="file"; filename="model"\r\n\r\n'
    b'--x not the end name="model"\r\n\r\nno\r\n'
    b'--xx\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--xx--\r\n'
)


@pytest.mark.parametrize("boundary", [b"xx", b'"xx"', b"xx; charset=utf-8"])
def test_a_forms_field_names_the_model(boundary: bytes) -> None:
    for cut in range(len(FORM)):
        scan = scan_for(b"multipart/form-data; boundary=" + boundary)
        assert isinstance(scan, MultipartModel)
        found = scan.find(FORM[:cut]) or scan.find(FORM)
        assert found is not None
        assert (found.name, FORM[found.start : found.end]) == ("whisper", b"whisper")


def test_a_form_without_the_field_is_refused() -> None:
    scan = scan_for(b"multipart/form-data; boundary=xx")
    body = FORM.replace(b'name="model"\r\n\r\nw', b'name="other"\r\n\r\nw')
    assert scan.find(body) is None
    assert missing_in(body, scan).code == "missing_model"


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model":"a"}', "a"),
        (b' {\n"model" : "a\xc3\xa9", "x": 1}', "a\xe9"),
        (b'{"x": 1, "model":"a"}', None),
        (b'{"model":"a","model":"b"}', None),
        (b'{"model":"a","\\u006dodel":"b"}', None),
        (b'{"model":"a\\n"}', None),
        (b'{"model":"\xff"}', None),
        (b'{"model":""}', None),
        (b'{"model":7}', None),
        (b"", None),
    ],
)
def test_what_begins_with_its_model_needs_no_scan(body: bytes, model: str | None) -> None:
    found = first_model(body)
    assert (found.name if found else None) == model
    if found:
        assert renamed(body, found, 'n"').startswith(body[: found.start] + b'"n\\""')
