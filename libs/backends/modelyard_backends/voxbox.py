"""What VoxBox is told beside its own command. Flags as in `vox-box start --help` of 0.0.21."""

from collections.abc import Sequence

from modelyard_contracts.deployments import DeploymentSpec

from modelyard_backends.start import Injection, Start


def injection(spec: DeploymentSpec, start: Start, given: Sequence[str]) -> Injection:
    """It sees only its own device, which so is the first."""
    return Injection(("--device", "cuda:0" if start.framework == "cuda" else "cpu"))
