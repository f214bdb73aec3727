import pytest
from modelyard_contracts.parameters import BadParameters
from modelyard_worker_agent.domain.command import (
    RESERVED,
    arguments_of,
    backend_command,
    wants_embeddings,
)
from modelyard_worker_agent_world import spec_of


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_what_the_worker_sets_cannot_be_said(name: str) -> None:
    for parameters in ([name, "x"], [f"{name} x"], [f"{name}=x"]):
        with pytest.raises(BadParameters, match=name):
            arguments_of(parameters)


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
