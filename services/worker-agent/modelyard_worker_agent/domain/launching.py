"""What is started for a want: which backend, on which devices, and how it shows that it serves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelyard_backends.builtin import BUILT_IN
from modelyard_backends.start import CannotStart
from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.deployments import Backend, Category, Claim, DeploymentSpec
from modelyard_contracts.messages import Want
from modelyard_contracts.parameters import value_of

VISIBLE = {"cuda": "CUDA_VISIBLE_DEVICES", "rocm": "HIP_VISIBLE_DEVICES", "cann": "ASCEND_RT_VISIBLE_DEVICES"}
OPENAI = frozenset({Backend.VLLM, Backend.SGLANG, Backend.MINDIE, Backend.LLAMA_CPP})
"""Backends of which it is known how they are asked for a completion."""
EMBEDS = ("--embedding", "--embeddings", "--is-embedding")
RERANKS = ("--reranking", "--rerank")


@dataclass(frozen=True, slots=True)
class Ask:
    """A small request that a server which serves answers with 200."""

    path: str
    body: dict[str, object] = field(default_factory=dict)


def backend_of(want: Want, model: Path) -> InferenceBackend:
    """As it is defined now; without a name, the one that suits the model. Raises `CannotStart`."""
    if want.backend is not None:
        return want.backend
    name = want.spec.backend or (Backend.LLAMA_CPP if model.suffix == ".gguf" else Backend.VLLM)
    if name not in BUILT_IN:
        raise CannotStart(f"backend: no inference backend named {name!r} is defined")
    return BUILT_IN[name]


def framework_of(claim: Claim) -> str:
    devices = claim.devices()
    return devices[0].partition(":")[0] if devices else "cpu"


def visible_devices(claim: Claim) -> Mapping[str, str]:
    """Variables by which a process sees its own devices only: none of them if none is claimed."""
    indexes = ",".join(device.rpartition(":")[2] for device in claim.devices())
    framework = framework_of(claim)
    if framework == "cpu":
        return dict.fromkeys(VISIBLE.values(), "")
    seen = {VISIBLE[framework]: indexes} if framework in VISIBLE else {}
    # as the driver numbers them, and not by how fast they are
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **seen} if framework == "cuda" else seen


def asks_of(spec: DeploymentSpec, backend: str, model_name: str, arguments: Sequence[str]) -> tuple[Ask, ...]:
    """Requests of which one has to be answered; none where only health can be asked for."""
    embed = Ask("/v1/embeddings", {"model": model_name, "input": "ready?"})
    rerank = Ask("/v1/rerank", {"model": model_name, "query": "ready?", "documents": ["yes"]})
    completion = {"model": model_name, "prompt": "ready?", "max_tokens": 1, "temperature": 0}
    complete = Ask("/v1/completions", completion)
    if backend not in OPENAI:
        return ()
    if Category.RERANKER in spec.categories or _says(arguments, RERANKS):
        return (rerank, embed, complete)
    if Category.EMBEDDING in spec.categories or _says(arguments, EMBEDS):
        tokens = Ask("/embedding", {"content": "ready?"})  # of a model that has no way to pool them
        return (embed, tokens) if backend == Backend.LLAMA_CPP else (embed,)
    if spec.categories and Category.LLM not in spec.categories:
        return ()
    return (complete, embed)


def _says(arguments: Sequence[str], flags: Sequence[str]) -> bool:
    return value_of(arguments, *flags) is not None
