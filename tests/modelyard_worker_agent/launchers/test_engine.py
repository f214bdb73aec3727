"""What the engine is told and what its answers mean. What it makes of that, tests with a real one show."""

from dataclasses import replace

import pytest
from modelyard_worker_agent.launchers.engine import Recipe, api_version, body_of, unframed

RECIPE = Recipe(
    socket="/run/docker.sock",
    image="image:1",
    command=("serve",),
    entrypoint=(),
    variables=("TOKEN",),
    port=8000,
    mounts={"/models/a": "/srv/models/a"},
    devices=(),
    memory_bytes=2**30,
    labels={},
    network=None,
    version="1",
)


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [
        ("1.41", "1.12", "1.41"),
        ("1.52", "1.44", "1.52"),
        ("1.60", "1.44", "1.52"),
        ("1.70", "1.60", "1.60"),
    ],
)
def test_the_newest_version_that_both_sides_know_is_spoken(newest: str, oldest: str, spoken: str) -> None:
    assert api_version(newest, oldest) == spoken


def test_models_are_mounted_from_where_the_engine_has_them_read_only() -> None:
    assert body_of(RECIPE, {})["HostConfig"]["Mounts"] == [
        {"Type": "bind", "Source": "/srv/models/a", "Target": "/models/a", "ReadOnly": True}
    ]


def test_swap_is_no_way_around_the_memory_limit() -> None:
    host = body_of(RECIPE, {})["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 2**30


def test_a_server_is_reached_on_loopback_or_on_a_network_of_containers() -> None:
    alone = body_of(RECIPE, {})["HostConfig"]
    assert alone["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    assert "NetworkMode" not in alone

    recipe = replace(RECIPE, network="models")
    shared = body_of(recipe, {})["HostConfig"]
    assert shared["NetworkMode"] == "models"
    assert "PortBindings" not in shared


def test_streams_are_put_together_wherever_they_were_cut() -> None:
    framed = b"\x01\0\0\0\0\0\0\x05first" + b"\x02\0\0\0\0\0\0\x06second"
    for cut in range(len(framed)):
        assert b"".join(unframed(iter((framed[:cut], framed[cut:])))) == b"firstsecond"
