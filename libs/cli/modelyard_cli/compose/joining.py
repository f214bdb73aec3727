"""The command by which another machine joins."""

import shlex
from collections.abc import Mapping

from modelyard_cli.compose.secrets import given

RELAY_PORT = "20000"
"""Where the gateway reaches model servers over the network."""


def join_command(address: str, environment: Mapping[str, str]) -> str:
    """For a shell on the machine that has `address`. Raises `UsageError`."""
    variables = {
        "MODELYARD_API": f"https://{given(environment, 'PUBLIC_HOST')}:{given(environment, 'API_PORT')}",
        "MODELYARD_JOIN_TOKEN": given(environment, "MODELYARD_JOIN_TOKEN"),
        "MODELYARD_CA": given(environment, "MODELYARD_CA"),
        "MODELYARD_WORKER_ADDRESS": address,
        "MODELYARD_RELAY_PORT": RELAY_PORT,
        "MODELYARD_WORKER_NAME": address,
    }
    return shlex.join(
        [
            *("docker", "run", "-d", "--name", "modelyard-worker", "--restart", "unless-stopped", "--init"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
            *("-p", f"{address}:{RELAY_PORT}:{RELAY_PORT}"),
            *("-v", "modelyard-worker:/var/lib/modelyard", "-v", "/srv/models:/models:ro"),
            *(part for name, value in variables.items() for part in ("-e", f"{name}={value}")),
            *(given(environment, "WORKER_IMAGE"), "worker"),
        ]
    )
