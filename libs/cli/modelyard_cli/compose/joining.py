"""The command by which another machine joins."""

import shlex
from collections.abc import Mapping

from modelyard_cli.compose.secrets import given

RELAY_PORT = "20000"
"""Where the gateway reaches model servers over the network."""
NETWORK = "modelyard-models"
SOCKET = "/var/run/docker.sock"
MAKE_NETWORK = (
    f"docker network inspect {NETWORK} >/dev/null 2>&1 || docker network create {NETWORK} >/dev/null"
)


def join_command(
    address: str, environment: Mapping[str, str], *, containers: bool = False, gpus: bool = False
) -> str:
    """For a shell on the machine that has `address`. `containers`: model servers run in containers of their
    own, as they do with `gpus`. Raises `UsageError`."""
    containers = containers or gpus
    variables = {
        "MODELYARD_API": f"https://{given(environment, 'PUBLIC_HOST')}:{given(environment, 'API_PORT')}",
        "MODELYARD_JOIN_TOKEN": given(environment, "MODELYARD_JOIN_TOKEN"),
        "MODELYARD_CA": given(environment, "MODELYARD_CA"),
        "MODELYARD_WORKER_ADDRESS": address,
        "MODELYARD_RELAY_PORT": RELAY_PORT,
        "MODELYARD_WORKER_NAME": address,
        **({"MODELYARD_EXECUTOR": "docker", "MODELYARD_DOCKER_NETWORK": NETWORK} if containers else {}),
    }
    run = shlex.join(
        [
            *("docker", "run", "-d", "--name", "modelyard-worker", "--restart", "unless-stopped", "--init"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
            *("-p", f"{address}:{RELAY_PORT}:{RELAY_PORT}"),
            *("-v", "modelyard-worker:/var/lib/modelyard", "-v", "/srv/models:/models:ro"),
        ]
    )
    begun = shlex.join(
        [
            *(part for name, value in variables.items() for part in ("-e", f"{name}={value}")),
            *(given(environment, "WORKER_IMAGE"), "worker"),
        ]
    )
    if not containers:
        return f"{run} {begun}"
    engine = f"--network {NETWORK} --pid host -v {SOCKET}:{SOCKET} --group-add $(stat -c %g {SOCKET})"
    devices = "--gpus all,capabilities=utility " if gpus else ""
    return f"{MAKE_NETWORK}; {run} {engine} {devices}{begun}"
