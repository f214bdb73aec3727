"""Inference backends: what may be said of the built-in ones and of an operator's own."""

from typing import Any

import pytest
from modelyard_api.domain import backend as backends
from modelyard_api.domain.backend import Backend
from modelyard_api.domain.deployment import MASK
from modelyard_api.domain.errors import Refusal
from modelyard_backends.builtin import VLLM
from modelyard_contracts.backends import BackendVersion, InferenceBackend
from modelyard_contracts.commands import BackendFields


def seal(text: str) -> str:
    return f"sealed:{text}"


def same(sealed: str, clear: str) -> bool:
    return sealed == seal(clear)


def own(**fields: Any) -> Backend:
    definition = InferenceBackend(backend_name="tei-custom", default_run_command="tei", **fields)
    return Backend(101, definition, is_built_in=False, edited=(), deleted=False, seq=7)


def built_in(definition: InferenceBackend = VLLM, edited: tuple[str, ...] = ()) -> Backend:
    return Backend(1, definition, is_built_in=True, edited=edited, deleted=False, seq=3)


def update(state: Backend, **fields: Any) -> Any:
    return backends.decide_update(BackendFields(**fields), state, seal=seal, same=same)


def test_values_of_variables_are_sealed() -> None:
    command = BackendFields(
        backend_name="tei-custom",
        default_env={"A": "1"},
        version_configs={"2": BackendVersion(env={"B": "2"})},
    )

    made = backends.created(command, backend_id=101, seal=seal).backend

    assert made.default_env == {"A": "sealed:1"}
    assert made.version_configs["2"].env == {"B": "sealed:2"}


@pytest.mark.parametrize("name", ["tei", None])
def test_an_own_backend_has_a_name_of_its_own_kind(name: str | None) -> None:
    with pytest.raises(Refusal, match="backend_name"):
        backends.created(BackendFields(backend_name=name), backend_id=1, seal=seal)


def test_what_is_not_said_stays_and_null_is_the_default() -> None:
    state = own(default_env={"A": "sealed:1"}, health_check_path="/up", default_version="1")

    changed = update(state, health_check_path=None, description="new")

    assert changed.backend.health_check_path is None
    assert changed.backend.description == "new"
    assert changed.backend.default_env == {"A": "sealed:1"}
    assert changed.edited == ()


def test_saying_what_is_so_changes_nothing() -> None:
    state = own(default_env={"A": "sealed:1", "B": "sealed:2"})

    assert update(state, default_env={"A": "1", "B": MASK}, default_run_command="tei") is None


def test_a_built_in_backend_takes_versions_and_defaults_and_nothing_else() -> None:
    changed = update(built_in(), version_configs={"9-custom": {"image_name": "mine:9"}}, enabled=False)
    assert changed.edited == ("enabled", "version_configs")
    assert changed.is_built_in
    with pytest.raises(Refusal, match="default_run_command: of a built-in"):
        update(built_in(), default_run_command="x")
    with pytest.raises(Refusal, match=r"'9' of a built-in backend must end in '-custom'"):
        update(built_in(), version_configs={"9": {"image_name": "mine:9"}})
    with pytest.raises(Refusal, match="backend_name: cannot be changed"):
        update(built_in(), backend_name="other-custom")
    with pytest.raises(Refusal, match="is built in and stays"):
        backends.decide_delete(built_in())


def test_a_default_version_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refusal, match="default_version: '3' is none of 1, 2"):
        update(own(), version_configs={"1": {}, "2": {}}, default_version="3")


def test_a_newer_modelyard_brings_newer_built_in_backends_but_keeps_what_was_edited() -> None:
    edited = VLLM.model_copy(update={"default_version": "0.30.0"})
    newer = VLLM.model_copy(update={"default_version": "0.40.0", "health_check_path": "/healthier"})

    stated = backends.shipped(newer, built_in(edited, ("default_version",)), backend_id=1)

    assert stated is not None
    assert stated.backend.default_version == "0.30.0"
    assert stated.backend.health_check_path == "/healthier"
    assert backends.shipped(VLLM, built_in(), backend_id=1) is None
    assert backends.shipped(VLLM, None, backend_id=1) is not None
