"""The socket a service listens on, made before anything else so that a busy port is said at once."""

import socket

from modelyard_runtime.settings import BadSettings


def listen(host: str, port: int, *, port_flag: str = "--port", shared: bool = False) -> socket.socket:
    """Raises `BadSettings` if the address cannot be had. `shared`: with other processes of this user.

    Connections inherit TCP_NODELAY: asyncio sets it only on sockets that were made as TCP by name, and
    without it small answers wait 40 ms for the client's delayed acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, reuse_port=shared)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadSettings(f"cannot listen on {host} port {port} (--host, {port_flag}): {reason}") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
