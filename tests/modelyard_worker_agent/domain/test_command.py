import pytest
from modelyard_worker_agent.domain.command import (
    RESERVED,
    BadParameters,
    backend_command,
    split_parameters,
    wants_embeddings,
)
from modelyard_worker_agent_world import spec_of


@pytest.mark.parametrize(
    "parameters",
    [("--ctx-size", "4096"), ("--ctx-size 4096",), ("--ctx-size  '4096'",)],
)
def test_one_argument_in_its_spellings(parameters: tuple[str, ...]) -> None:
    assert split_parameters(parameters) == ["--ctx-size", "4096"]


def test_an_equals_sign_stays() -> None:
    assert split_parameters(["--ctx-size=4096"]) == ["--ctx-size=4096"]


def test_a_value_with_blanks_is_one_argument() -> None:
    assert split_parameters(["--chat-template", "{{ a b }}"]) == ["--chat-template", "{{ a b }}"]
    assert split_parameters(["--alias 'my model'"]) == ["--alias", "my model"]


def test_an_open_quote_is_named() -> None:
    with pytest.raises(BadParameters, match="--alias 'my"):
        split_parameters(["--alias 'my"])


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_what_the_worker_sets_cannot_be_said(name: str) -> None:
    for parameters in ([name, "x"], [f"{name} x"], [f"{name}=x"]):
        with pytest.raises(BadParameters, match=name):
            split_parameters(parameters)


def test_the_users_arguments_come_last_so_that_theirs_win() -> None:
    command = backend_command(
        spec_of("/m.gguf", "--alias", "mine"), model="/m.gguf", alias="chat", host="127.0.0.1", report="/r"
    )

    assert command[-2:] == ("--alias", "mine")
    assert command[command.index("--model") + 1] == "/m.gguf"


@pytest.mark.parametrize("parameters", [["--embedding"], ["--embeddings --pooling mean"], ["--rerank"]])
def test_embedding_is_seen_in_any_spelling(parameters: list[str]) -> None:
    assert wants_embeddings(parameters)
    assert not wants_embeddings(["--ctx-size", "1"])
