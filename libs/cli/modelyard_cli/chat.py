"""One streamed chat request through the gateway."""

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from modelyard_cli.errors import CliError

RETRY_S = 0.2
SETTLE_S = 15.0
"""The gateway hears of a new key, route or instance a moment after the api."""

NOT_YET = {401, 404, 503}


SYSTEM = "You are a helpful assistant."
"""Said with every question. Without one, SmolLM2's chat template puts in its own, under which the quantised
model of the demo rambles in French at temperature 0."""


def messages(question: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


def body(model: str, question: str) -> dict[str, Any]:
    return {
        "model": model,
        "messages": messages(question),
        "temperature": 0,
        "max_tokens": 200,
        "stream": True,
    }


def ask(gateway_url: str, key: str, model: str, question: str) -> Iterator[str]:
    """The answer, piece by piece. Raises `CliError`."""
    deadline = time.monotonic() + SETTLE_S
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=gateway_url, headers=headers, trust_env=False, timeout=300) as client:
        while True:
            try:
                with client.stream("POST", "/v1/chat/completions", json=body(model, question)) as response:
                    if response.is_success:
                        yield from pieces(response.iter_lines())
                        return
                    response.read()
            except httpx.HTTPError as error:
                raise CliError(f"The gateway at {gateway_url} broke off: {error}.") from error
            if response.status_code not in NOT_YET or time.monotonic() > deadline:
                raise CliError(f"The gateway answered {response.status_code}: {response.text.strip()[:300]}")
            time.sleep(RETRY_S)


def pieces(lines: Iterator[str]) -> Iterator[str]:
    """The text of each chunk of an OpenAI stream."""
    for line in lines:
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        chunk = json.loads(line.removeprefix("data: "))
        for choice in chunk.get("choices", []):
            if text := choice.get("delta", {}).get("content"):
                yield text


def curl(gateway_url: str, key_file: Path, model: str, question: str) -> str:
    """The same request for a terminal; the key stays in its file."""
    content = {"model": model, "messages": messages(question), "temperature": 0}
    key = f"$(cat {shlex.quote(str(key_file))})"
    return (
        f'curl {gateway_url}/v1/chat/completions -H "Authorization: Bearer {key}" '
        f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(content))}"
    )
