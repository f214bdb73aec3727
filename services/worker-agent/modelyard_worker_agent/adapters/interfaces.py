"""The network between workers of a group: an interface, ports that are held, a way to another worker."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path

import psutil

HCCN = Path("/etc/hccn.conf")
REACH_S = 5.0


class NoWay(Exception):
    """Workers cannot reach each other; the message says what to look at."""


def interface_of(address: str) -> tuple[str, str]:
    """The interface that has this address, or name, and the address in numbers. Blocks. Raises `NoWay`."""
    try:
        number = socket.gethostbyname(address)
        with socket.socket() as tried:
            tried.bind((number, 0))
    except OSError as error:
        raise NoWay(
            f"the address of this worker, {address}, is none of its own ({error.strerror or error}): "
            "set MODELYARD_WORKER_ADDRESS to one that is"
        ) from error
    wanted = ipaddress.ip_address(number)
    for name, addresses in psutil.net_if_addrs().items():
        for one in addresses:
            if one.family == socket.AF_INET and one.netmask and _covers(one.address, one.netmask, wanted):
                return name, number
    raise NoWay(f"no interface of this worker has the address {number}")


def _covers(address: str, netmask: str, wanted: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    own = ipaddress.ip_interface(f"{address}/{netmask}")
    return own.ip == wanted or (own.ip.is_loopback and wanted in own.network)


def hold(address: str, ports: Sequence[int]) -> list[socket.socket]:
    """Takes these ports, 0 for any, until the sockets are closed: they take connections, and answer none.
    Raises `OSError`."""
    held: list[socket.socket] = []
    try:
        for port in ports:
            held.append(socket.create_server((address, port)))
    except OSError:
        let_go(held)
        raise
    return held


def let_go(held: list[socket.socket]) -> None:
    while held:
        held.pop().close()


async def reach(address: str, port: int, own: str) -> None:
    """From the interface with the address `own`. Raises `NoWay`."""
    try:
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(address, port, local_addr=(own, 0))
    except (OSError, TimeoutError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else f"nothing in {REACH_S:g} s"
        raise NoWay(f"from {own} the primary worker is not reached at {address}:{port}: {why}") from error
    writer.close()


def device_addresses(indexes: Sequence[str], table: Path = HCCN) -> tuple[str, ...]:
    """Of Ascend devices, as the driver keeps them; empty where it does not."""
    try:
        lines = table.read_text().splitlines()
    except OSError:
        return ()
    known = dict(line.split("=", 1) for line in lines if line.startswith("address_") and "=" in line)
    found = [known.get(f"address_{index}", "").strip() for index in indexes]
    return tuple(found) if all(found) else ()
