"""Streams are made as they must be, and never weakened."""

import json

from modelyard_contracts.base import Aggregate
from modelyard_eventlog import subjects
from modelyard_eventlog.provision import needed_change, provision, stream_configs
from nats.aio.client import Client


async def config_of(client: Client, stream: str) -> dict[str, object]:
    reply = await client.request(f"$JS.API.STREAM.INFO.{stream}", b"")
    config: dict[str, object] = json.loads(reply.data)["config"]
    return config


async def test_provisioning_twice_changes_nothing(own_nats: Client) -> None:
    await provision(own_nats)
    first = [await config_of(own_nats, wanted["name"]) for wanted in stream_configs()]
    await provision(own_nats)
    assert [await config_of(own_nats, wanted["name"]) for wanted in stream_configs()] == first
    for wanted, actual in zip(stream_configs(), first, strict=True):
        assert needed_change(actual, wanted) is None


async def test_what_was_weakened_is_made_strong_again(own_nats: Client) -> None:
    await provision(own_nats)
    weak = {
        **await config_of(own_nats, subjects.EVT),
        "duplicate_window": 1_000_000_000,
        "max_bytes": 1 << 20,
    }
    await own_nats.request(f"$JS.API.STREAM.UPDATE.{subjects.EVT}", json.dumps(weak).encode())
    await provision(own_nats)
    actual = await config_of(own_nats, subjects.EVT)
    wanted = stream_configs()[0]
    assert {field: actual[field] for field in wanted} == wanted


async def test_heartbeats_made_with_delete_markers_lose_them(own_nats: Client) -> None:
    """The server allows roll-ups where it has to write markers."""
    old = {"name": subjects.HB, "subjects": ["hb.*"], "storage": "memory", "max_msgs_per_subject": 1}
    old |= {"allow_msg_ttl": True, "subject_delete_marker_ttl": 60_000_000_000, "allow_direct": True}
    await own_nats.request(f"$JS.API.STREAM.CREATE.{subjects.HB}", json.dumps(old).encode())
    assert (await config_of(own_nats, subjects.HB))["allow_rollup_hdrs"]
    await provision(own_nats)
    now = await config_of(own_nats, subjects.HB)
    assert not now["allow_rollup_hdrs"] and "subject_delete_marker_ttl" not in now


async def test_the_log_can_be_neither_purged_nor_thinned(own_nats: Client) -> None:
    await provision(own_nats)
    reply = await own_nats.request(f"$JS.API.STREAM.PURGE.{subjects.EVT}", b"")
    assert "error" in json.loads(reply.data)
    reply = await own_nats.request(f"$JS.API.STREAM.MSG.DELETE.{subjects.EVT}", b'{"seq":1}')
    assert "error" in json.loads(reply.data)
    await own_nats.request(subjects.event(Aggregate.USER, "1"), b"{}", headers={"Nats-Rollup": "all"})
    assert "allow_rollup_hdrs" not in {k for k, v in (await config_of(own_nats, subjects.EVT)).items() if v}


def test_where_an_operator_chose_more_theirs_stays() -> None:
    wanted = stream_configs()[0]
    assert needed_change({**wanted, "max_bytes": wanted["max_bytes"] * 10, "num_replicas": 3}, wanted) is None
    assert needed_change({**wanted, "max_bytes": -1}, wanted) is None
    changed = needed_change({**wanted, "deny_purge": False, "num_replicas": 3}, wanted)
    assert changed is not None
    assert (changed["deny_purge"], changed["num_replicas"]) == (True, 3)
