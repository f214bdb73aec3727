"""What llama.cpp's server is told beside its own command: how much of the model goes on devices."""

from collections.abc import Sequence

from modelyard_contracts.deployments import DeploymentSpec

from modelyard_backends.start import Injection, Start


def injection(spec: DeploymentSpec, start: Start, given: Sequence[str]) -> Injection:
    claim = start.claim
    said: list[str] = []
    if claim.context_tokens:
        said += ["--ctx-size", str(claim.context_tokens)]
    if claim.offload_layers is not None:
        said += ["--n-gpu-layers", str(claim.offload_layers)]
    if claim.tensor_split:
        said += ["--tensor-split", ",".join(f"{share:g}" for share in claim.tensor_split)]
    return Injection(tuple(said))
