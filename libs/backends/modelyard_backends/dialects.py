"""How backends differ where data does not tell: flags that are ours, and what follows from a claim."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modelyard_contracts.deployments import Backend, DeploymentSpec

from modelyard_backends import llama_cpp, mindie, sglang, vllm, voxbox
from modelyard_backends.start import Injection, Start

Inject = Callable[[DeploymentSpec, Start, Sequence[str]], Injection]


def nothing(spec: DeploymentSpec, start: Start, given: Sequence[str]) -> Injection:
    return Injection()


@dataclass(frozen=True, slots=True)
class Dialect:
    inject: Inject = nothing
    reserved: frozenset[str] = frozenset()
    """Flags that only the worker sets."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Short names of flags that we set too."""
    takes_flags: bool = True
    """Whether parameters are put on its command line."""
    adapters: bool = False
    speculative: bool = False
    distributed: bool = False
    group_on_address: bool = False
    """In a group it listens on its worker's address, whatever it is told."""


PLAIN = Dialect()
SERVING = frozenset({"--host", "--port", "--api-key"})

DIALECTS: Mapping[str, Dialect] = {
    Backend.VLLM: Dialect(
        inject=vllm.injection,
        reserved=SERVING
        | {"--model", "--served-model-name", "--nnodes", "-n", "--node-rank", "-r", "--master-addr"}
        | {"--master-port", "--headless", "--uds"},
        aliases={
            "-tp": "--tensor-parallel-size",
            "-pp": "--pipeline-parallel-size",
            "-dp": "--data-parallel-size",
            "-sc": "--speculative-config",
        },
        adapters=True,
        speculative=True,
        distributed=True,
    ),
    Backend.SGLANG: Dialect(
        inject=sglang.injection,
        reserved=SERVING
        | {"--model-path", "--model", "--served-model-name", "--nnodes", "--node-rank"}
        | {"--dist-init-addr", "--nccl-init-addr"},
        aliases={
            "--tensor-parallel-size": "--tp-size",
            "--tp": "--tp-size",
            "--pipeline-parallel-size": "--pp-size",
            "--pp": "--pp-size",
            "--data-parallel-size": "--dp-size",
            "--speculative-draft-model": "--speculative-draft-model-path",
        },
        adapters=True,
        speculative=True,
        distributed=True,
    ),
    Backend.MINDIE: Dialect(
        inject=mindie.injection, reserved=SERVING, takes_flags=False, distributed=True, group_on_address=True
    ),
    Backend.VOXBOX: Dialect(inject=voxbox.injection, reserved=SERVING | {"--model"}),
    Backend.LLAMA_CPP: Dialect(
        inject=llama_cpp.injection,
        reserved=SERVING | {"--model", "-m", "--report", "--alias", "-a"},
        aliases={
            "-c": "--ctx-size",
            "-ngl": "--n-gpu-layers",
            "--gpu-layers": "--n-gpu-layers",
            "-ts": "--tensor-split",
            "-mm": "--mmproj",
            "-md": "--model-draft",
            "--spec-draft-model": "--model-draft",
        },
        adapters=True,
        speculative=True,
    ),
}


def dialect_of(backend: str) -> Dialect:
    return DIALECTS.get(backend, PLAIN)
