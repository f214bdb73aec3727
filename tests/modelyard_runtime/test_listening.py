"""A busy port is said before anything starts."""

import socket

import pytest
from modelyard_runtime.listening import listen
from modelyard_runtime.settings import BadSettings


def test_a_busy_port_is_named_with_its_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadSettings, match=rf"127\.0\.0\.1 port {port} \(--host, --api-port\)"):
            listen("127.0.0.1", port, port_flag="--api-port")


def test_connections_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
