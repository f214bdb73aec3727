"""The command line of a model server."""

import sys
from collections.abc import Sequence

from modelyard_contracts.deployments import Backend, DeploymentSpec
from modelyard_contracts.parameters import BadParameters, split_parameters

RESERVED = frozenset({"--model", "-m", "--host", "--port", "--report"})


def arguments_of(parameters: Sequence[str]) -> list[str]:
    """The user's arguments. Raises `BadParameters`, also for one that only the worker may set."""
    arguments = split_parameters(parameters)
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
    match spec.backend or Backend.LLAMA_CPP:
        case Backend.LLAMA_CPP:
            return (
                *(sys.executable, "-m", "modelyard_worker_agent.launchers.llama_cpp"),
                *("--model", model),
                *("--host", host),
                *("--report", report),
                *("--alias", alias),
                *arguments_of(spec.backend_parameters),
            )
        case other:
            raise BadParameters(f"backend: {other} cannot be started by this worker")


def wants_embeddings(parameters: Sequence[str]) -> bool:
    """Whether the server is started to embed (or rerank) and so answers no chat.

    Raises `BadParameters`.
    """
    arguments = arguments_of(parameters)
    return any(
        argument in ("--embedding", "--embeddings", "--reranking", "--rerank") for argument in arguments
    )
