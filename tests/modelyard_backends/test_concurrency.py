import pytest
from modelyard_backends.concurrency import sequences_at_once
from modelyard_contracts.deployments import Backend


@pytest.mark.parametrize(
    ("backend", "command", "count"),
    [
        (Backend.VLLM, "vllm serve /m --max-num-seqs 64", 64),
        (Backend.VLLM, "vllm serve /m --max_num_seqs=64 --data-parallel-size 2", 128),
        (Backend.SGLANG, "sglang serve --max-running-requests=32 --data-parallel-size 2", 32),
        (Backend.LLAMA_CPP, "llama-server -m /m -np 4", 4),
        (Backend.LLAMA_CPP, "llama-server --parallel -1", None),
        (Backend.VLLM, "vllm serve /m", None),
        ("mine-custom", "serve --parallel 4", None),
        (None, "--parallel 4", None),
    ],
)
def test_how_many_requests_a_command_lets_run_at_a_time(
    backend: str | None, command: str, count: int | None
) -> None:
    assert sequences_at_once(backend, command.split()) == count
