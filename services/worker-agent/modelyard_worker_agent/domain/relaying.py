"""The first request of a connection to the relay: whether it says a token, and what goes on without it."""

import hashlib
import ipaddress

HEADER = b"x-modelyard-relay"
MAX_HEAD = 64 * 1024


class NotOpened(Exception):
    """The connection is refused with this status; the message is for whoever tries."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def opening(data: bytes) -> tuple[bytes, bytes] | None:
    """The token, and everything that came but for the token's line; None before the head is whole.

    Raises `NotOpened`.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD:
            raise NotOpened(431, "the head of the request is too long")
        return None
    first, *lines = data[:end].split(b"\r\n")
    said = [line for line in lines if line.partition(b":")[0].lower() == HEADER]
    if len(said) != 1:
        raise NotOpened(401, "only gateways come in here: the first request says X-Modelyard-Relay once")
    others = [line for line in lines if line is not said[0]]
    return said[0].partition(b":")[2].strip(), b"\r\n".join([first, *others]) + data[end:]


def is_numeric(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether others than this machine cannot mean it by that."""
    return ipaddress.ip_address(address).is_loopback if is_numeric(address) else address == "localhost"


def known_as(token: bytes) -> str:
    """What a token is looked up by: how long that takes says nothing of the token."""
    return hashlib.sha256(token).hexdigest()
