import pytest
from modelyard_backends.protocols import COUNT_TOKENS, MESSAGES, anthropic_paths
from modelyard_contracts.deployments import Backend


@pytest.mark.parametrize(
    ("backend", "version", "paths"),
    [
        (Backend.LLAMA_CPP, "2026.10.11549", {MESSAGES, COUNT_TOKENS}),
        (Backend.LLAMA_CPP, "0.2.7", set()),
        (Backend.LLAMA_CPP, "b7200", {MESSAGES, COUNT_TOKENS}),
        (Backend.LLAMA_CPP, "b5000", set()),
        (Backend.VLLM, "0.11.0", set()),
        (Backend.VLLM, "0.11.1", {MESSAGES}),
        (Backend.VLLM, "v0.18.0", {MESSAGES, COUNT_TOKENS}),
        (Backend.SGLANG, "0.5.10.post1", {MESSAGES, COUNT_TOKENS}),
        (Backend.SGLANG, "latest", set()),
        ("mine-custom", "1.0", set()),
        (None, "1.0", set()),
    ],
)
def test_who_speaks_anthropics_protocol(backend: str | None, version: str, paths: set[str]) -> None:
    assert anthropic_paths(backend, version) == paths
