from datetime import UTC, datetime, timedelta

import pytest
from modelyard_gateway.domain.access import authenticate, may_call, presented_key
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.table import Key
from modelyard_gateway_facts import created_key, fold
from modelyard_runtime import keys

NOW = datetime(2026, 6, 1, tzinfo=UTC)
API_KEY = keys.generate()


def known(*, expires_at: datetime | None = None, allowed: tuple[str, ...] | None = None) -> dict[str, Key]:
    event = created_key(
        1,
        access_key=API_KEY.access_key,
        secret_hash=keys.hash_secret(API_KEY),
        expires_at=expires_at,
        allowed=allowed,
    )
    return fold(event).keys.by_access_key


def refusal(presented: str | None, among: dict[str, Key]) -> Refusal:
    found = authenticate(presented, among, NOW)
    assert isinstance(found, Refusal)
    assert (found.status, found.code) == (401, "invalid_api_key")
    return found


def test_the_owner_of_a_key_is_let_in() -> None:
    found = authenticate(API_KEY.text(), known(), NOW)
    assert isinstance(found, Key)
    assert found.key_id == 1


def test_every_wrong_key_is_refused_with_its_reason() -> None:
    wrong = keys.ApiKey(API_KEY.access_key, keys.generate().secret)
    assert "No API key" in refusal(None, known()).message
    assert "malformed" in refusal("sk-123", known()).message
    assert "wrong or has been revoked" in refusal(wrong.text(), known()).message
    assert "wrong or has been revoked" in refusal(API_KEY.text(), {}).message
    assert "expired" in refusal(API_KEY.text(), known(expires_at=NOW)).message


def test_an_expired_key_with_a_wrong_secret_learns_nothing() -> None:
    wrong = keys.ApiKey(API_KEY.access_key, keys.generate().secret)
    assert "expired" not in refusal(wrong.text(), known(expires_at=NOW)).message


def test_a_key_works_until_it_expires() -> None:
    found = authenticate(API_KEY.text(), known(expires_at=NOW + timedelta(seconds=1)), NOW)
    assert isinstance(found, Key)


@pytest.mark.parametrize(
    ("allowed", "may"), [(None, True), ((), False), (("tiny",), True), (("tiny2", "TINY"), False)]
)
def test_allowed_models_are_names_and_none_means_all(allowed: tuple[str, ...] | None, may: bool) -> None:
    (key,) = known(allowed=allowed).values()
    assert may_call(key, "tiny") is may


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "presented"),
    [
        ("Bearer a", None, "a"),
        ("bearer  a ", None, "a"),
        ("Bearer a", "b", "a"),
        (None, "b", "b"),
        ("Basic xyz", "b", "b"),
        ("Bearer", "b", "b"),
        ("Bearer ", None, None),
        ("a", None, None),
        (None, " ", None),
        (None, None, None),
    ],
)
def test_where_a_key_is_looked_for(
    authorization: str | None, x_api_key: str | None, presented: str | None
) -> None:
    assert presented_key(authorization, x_api_key) == presented
