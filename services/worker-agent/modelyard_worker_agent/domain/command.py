"""The command line of a model server."""

import shlex
import sys
from collections.abc import Sequence

from modelyard_contracts.deployments import Backend, DeploymentSpec


class BadParameters(ValueError):
    """The backend parameters cannot be read; the message names the one."""


RESERVED = frozenset({"--model", "-m", "--host", "--port", "--report"})


def split_parameters(parameters: Sequence[str]) -> list[str]:
    """The arguments that a list of parameters stands for: `--k=v`, `--k v` in shell quoting, or two items.

    An item that starts with a flag is split as a shell would, any other is one argument.
    Raises `BadParameters`.
    """
    arguments: list[str] = []
    for item in parameters:
        if not item.startswith("-"):
            arguments.append(item)
            continue
        try:
            arguments.extend(shlex.split(item))
        except ValueError as error:
            raise BadParameters(f"backend_parameters: {item!r}: {error}") from error
    for argument in arguments:
        if argument.split("=", 1)[0] in RESERVED:
            raise BadParameters(f"backend_parameters: {argument.split('=', 1)[0]} is set by the worker")
    return arguments


def backend_command(
    spec: DeploymentSpec, *, model: str, alias: str, host: str, report: str
) -> tuple[str, ...]:
    """What the agent runs: our arguments first, the user's behind, so that theirs win.

    Raises `BadParameters`.
    """
    match spec.backend:
        case Backend.LLAMA_CPP:
            return (
                *(sys.executable, "-m", "modelyard_worker_agent.launchers.llama_cpp"),
                *("--model", model),
                *("--host", host),
                *("--report", report),
                *("--alias", alias),
                *split_parameters(spec.backend_parameters),
            )


def wants_embeddings(parameters: Sequence[str]) -> bool:
    """Whether the server is started to embed (or rerank) and so answers no chat.

    Raises `BadParameters`.
    """
    arguments = split_parameters(parameters)
    return any(
        argument in ("--embedding", "--embeddings", "--reranking", "--rerank") for argument in arguments
    )
