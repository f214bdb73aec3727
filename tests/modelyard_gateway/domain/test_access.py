from datetime import UTC, datetime, timedelta

import pytest
from modelyard_contracts.access import Scope
from modelyard_gateway.domain.access import authenticate, may_call, presented
from modelyard_gateway.domain.keys import Key
from modelyard_gateway.domain.refusals import Refusal
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


def asked(text: str, among: dict[str, Key]) -> Key | Refusal:
    return authenticate(presented(f"Bearer {text}".encode(), b""), among, lambda: NOW)


def refusal(text: str | None, among: dict[str, Key]) -> Refusal:
    found = asked(text or "", among)
    assert isinstance(found, Refusal)
    assert (found.status, found.code) == (401, "invalid_api_key")
    return found


def test_the_owner_of_a_key_is_let_in() -> None:
    found = asked(API_KEY.text(), known())
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


def test_a_key_for_management_alone_calls_no_model() -> None:
    secret_hash = keys.hash_secret(API_KEY)
    only = created_key(1, access_key=API_KEY.access_key, secret_hash=secret_hash, scope=(Scope.MANAGEMENT,))
    found = asked(API_KEY.text(), fold(only).keys.by_access_key)
    assert isinstance(found, Refusal)
    assert (found.status, found.code) == (403, "key_out_of_scope")


def test_a_key_works_until_it_expires() -> None:
    found = asked(API_KEY.text(), known(expires_at=NOW + timedelta(seconds=1)))
    assert isinstance(found, Key)


@pytest.mark.parametrize(
    ("allowed", "may"), [(None, True), ((), False), (("tiny",), True), (("tiny2", "TINY"), False)]
)
def test_allowed_models_are_names_and_none_means_all(allowed: tuple[str, ...] | None, may: bool) -> None:
    (key,) = known(allowed=allowed).values()
    assert may_call(key, "tiny") is may


A, B = keys.generate(), keys.generate()


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "found"),
    [
        (f"Bearer {A.text()}", "", A),
        (f"bearer  {A.text()} ", "", A),
        (f"Bearer {A.text()}", B.text(), A),
        ("", B.text(), B),
        ("Basic xyz", B.text(), B),
        ("Bearer", B.text(), B),
        ("Bearer ", "", None),
        (A.text(), "", None),
        ("", " ", None),
    ],
    ids=range(9),
)
def test_where_a_key_is_looked_for(authorization: str, x_api_key: str, found: keys.ApiKey | None) -> None:
    shown = presented(authorization.encode(), x_api_key.encode())
    assert (shown.access_key if shown else None) == (found.access_key if found else None)
    assert (shown.secret_hash if shown else None) == (keys.hash_secret(found) if found else None)
