"""How many requests a model server computes at a time, as its command says."""

from collections.abc import Mapping, Sequence

from modelyard_contracts.deployments import Backend
from modelyard_contracts.parameters import value_of

FLAGS: Mapping[str, tuple[str, ...]] = {
    Backend.VLLM: ("--max-num-seqs",),
    Backend.SGLANG: ("--max-running-requests",),
    Backend.LLAMA_CPP: ("--parallel", "-np"),
}
RANKS = ("--data-parallel-size", "-dp")
"""vLLM's limit is of each of them, SGLang's of all together."""


def sequences_at_once(backend: str | None, command: Sequence[str]) -> int | None:
    """None if the command does not say it."""
    count = _number(value_of(command, *FLAGS.get(backend or "", ())))
    if count is None or backend != Backend.VLLM:
        return count
    return count * (_number(value_of(command, *RANKS)) or 1)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and int(text) > 0 else None
