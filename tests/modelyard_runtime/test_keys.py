"""API keys: what is stored tells nothing of what is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_runtime import keys


def test_a_key_is_found_by_its_first_part_and_proved_by_its_second() -> None:
    key = keys.generate()
    assert keys.parse(key.text()) == key
    stored = keys.hash_secret(key)
    assert keys.matches(key, stored)
    assert key.secret not in stored
    assert not keys.matches(keys.ApiKey(key.access_key, keys.generate().secret), stored)
    assert not keys.matches(keys.ApiKey(keys.generate().access_key, key.secret), stored)


@pytest.mark.parametrize(
    "text", ["", "modelyard_a", "modelyard__b", "modelyard_a_", "other_a_b", "modelyard_a_b_c"]
)
def test_other_texts_are_no_keys(text: str) -> None:
    assert keys.parse(text) is None


@given(st.text(max_size=80))
def test_whatever_somebody_sends_is_a_key_or_none(text: str) -> None:
    parsed = keys.parse(text)
    assert parsed is None or parsed.text() == text
