"""The network between workers of a group, on this machine's own interfaces."""

import socket
from pathlib import Path

import pytest
from modelyard_worker_agent.adapters.interfaces import (
    NoWay,
    device_addresses,
    hold,
    interface_of,
    let_go,
    reach,
)


def test_every_loopback_address_is_on_the_loopback_interface() -> None:
    assert interface_of("127.0.0.2") == ("lo", "127.0.0.2")
    assert interface_of("localhost") == ("lo", "127.0.0.1")


@pytest.mark.parametrize("address", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_this_machines_own_is_named(address: str) -> None:
    with pytest.raises(NoWay, match=f"{address}.*MODELYARD_WORKER_ADDRESS"):
        interface_of(address)


async def test_held_ports_are_reached_and_nobody_elses_until_let_go() -> None:
    held = hold("127.0.0.2", (0,))
    port = held[0].getsockname()[1]
    await reach("127.0.0.2", port, "127.0.0.3")
    with pytest.raises(OSError, match="in use"):
        hold("127.0.0.2", (port,))
    let_go(held)
    with pytest.raises(NoWay, match=f"from 127.0.0.3 the primary worker is not reached at 127.0.0.2:{port}"):
        await reach("127.0.0.2", port, "127.0.0.3")
    with socket.create_server(("127.0.0.2", port)):
        pass


def test_addresses_of_ascend_devices_are_all_known_or_none(tmp_path: Path) -> None:
    table = tmp_path / "hccn.conf"
    assert device_addresses(["0"], table) == ()
    table.write_text("address_0=192.168.100.1\nnetmask_0=255.255.255.0\naddress_1=192.168.101.1\n")
    assert device_addresses(["1", "0"], table) == ("192.168.101.1", "192.168.100.1")
    assert device_addresses(["0", "2"], table) == ()
