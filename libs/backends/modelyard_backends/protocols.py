"""Which protocols beside OpenAI's a version of a backend's server speaks."""

import re
from collections.abc import Mapping

from modelyard_contracts.deployments import Backend

MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"

Version = tuple[int, ...]

ANTHROPIC_SINCE: Mapping[str, Mapping[str, Mapping[str, Version]]] = {
    Backend.LLAMA_CPP: {
        "": {MESSAGES: (2026,), COUNT_TOKENS: (2026,)},
        "b": {MESSAGES: (7200,), COUNT_TOKENS: (7200,)},
    },
    Backend.VLLM: {"": {MESSAGES: (0, 11, 1), COUNT_TOKENS: (0, 18)}},
    Backend.SGLANG: {"": {MESSAGES: (0, 5, 10), COUNT_TOKENS: (0, 5, 10)}},
}
"""By backend, by what its version begins with, by path: the first version that surely answers there.

llama.cpp: pull request 17570 of November 2025 (builds b7200 and on; xllamacpp numbers by year). vLLM: its
documentation of 0.11.1; counting is pull request 35588 of March 2026. SGLang: pull request 18630 of February
2026.
"""
NUMBERED = re.compile(r"(v|b|)(\d+(?:\.\d+)*)").match


def anthropic_paths(backend: str | None, version: str) -> frozenset[str]:
    """Where the server speaks Anthropic's protocol itself; empty if that is not known."""
    found = NUMBERED(version)
    if found is None or backend is None:
        return frozenset()
    known = ANTHROPIC_SINCE.get(backend, {}).get(found[1].replace("v", ""), {})
    number = tuple(int(part) for part in found[2].split("."))
    return frozenset(path for path, since in known.items() if number >= since)
