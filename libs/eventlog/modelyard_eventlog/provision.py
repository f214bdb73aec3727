"""Makes the streams, or checks that they are as they must be. Any service may run this first."""

import json
from typing import Any

import nats.errors
from nats.aio.client import Client

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable

DAY_NS = 24 * 3600 * 1_000_000_000
SECOND_NS = 1_000_000_000
GIB = 1024**3

Config = dict[str, Any]

STREAM_NOT_FOUND = 10059


class StreamRefused(Exception):
    """The server would not make or change a stream as Modelyard needs it."""


def stream_configs(*, replicas: int = 1, max_event_bytes: int = 2 * GIB) -> list[Config]:
    """What each stream must be (`docs/events.md` says why)."""
    return [
        {
            "name": subjects.EVT,
            "subjects": [subjects.ALL_EVENTS],
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "max_bytes": max_event_bytes,
            "max_msg_size": 256 * 1024,
            "duplicate_window": 600 * SECOND_NS,
            "deny_delete": True,
            "deny_purge": True,
            "allow_direct": True,
            "allow_atomic": True,
            "num_replicas": replicas,
        },
        {
            "name": subjects.TIMERS,
            "subjects": ["timer.set.>", subjects.ALL_FIRED_TIMERS],
            "storage": "file",
            "allow_msg_schedules": True,
            "allow_msg_ttl": True,
            "num_replicas": replicas,
        },
        {
            "name": subjects.DESIRED,
            "subjects": ["want.>"],
            "storage": "file",
            "max_msgs_per_subject": 1,
            "allow_direct": True,
            "num_replicas": replicas,
        },
        {
            "name": subjects.OBS,
            "subjects": [subjects.ALL_OBSERVATIONS],
            "storage": "file",
            "discard": "old",
            "max_age": DAY_NS,
            "duplicate_window": 600 * SECOND_NS,
            "num_replicas": replicas,
        },
        {
            "name": subjects.HB,
            "subjects": [subjects.ALL_HEARTBEATS],
            "storage": "memory",
            "max_msgs_per_subject": 1,
            "allow_msg_ttl": True,
            # with markers the server lets any worker roll up, and so wipe, the heartbeats of all
            "subject_delete_marker_ttl": 0,
            "allow_rollup_hdrs": False,
            "deny_purge": True,
            "allow_direct": True,
            "num_replicas": replicas,
        },
        {
            "name": subjects.LEASES,
            "subjects": ["lease.*"],
            "storage": "file",
            "max_msgs_per_subject": 1,
            "allow_direct": True,
            "num_replicas": replicas,
        },
        {
            "name": subjects.SNAPSHOTS,
            "subjects": ["snapshot.*.*"],
            "storage": "file",
            "max_msgs_per_subject": 1,
            "allow_direct": True,
            "allow_atomic": True,
            "num_replicas": replicas,
        },
        {
            "name": subjects.USAGE,
            "subjects": [subjects.ALL_USAGE],
            "storage": "file",
            "discard": "old",
            "max_age": 30 * DAY_NS,
            "max_bytes": 4 * GIB,
            "compression": "s2",
            "duplicate_window": 600 * SECOND_NS,
            "num_replicas": replicas,
        },
        {
            "name": subjects.QUOTAS,
            "subjects": [subjects.ALL_QUOTAS],
            "storage": "file",
            "max_msgs_per_subject": 1,
            "max_age": DAY_NS,
            "num_replicas": replicas,
        },
        {
            "name": subjects.DLQ,
            "subjects": ["$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"],
            "storage": "file",
            "max_age": 30 * DAY_NS,
            "num_replicas": replicas,
        },
    ]


GROW_ONLY = ("max_bytes", "num_replicas", "max_msg_size", "duplicate_window")
"""Where an operator chose more than we ask for, theirs stays."""


def needed_change(actual: Config, wanted: Config) -> Config | None:
    """The configuration to update a stream to, or None if it is as strong as wanted already."""
    merged = dict(wanted)
    for field in GROW_ONLY:
        if field in wanted and (actual.get(field, 0) == -1 or actual.get(field, 0) > wanted[field]):
            merged[field] = actual[field]
    # the server leaves out what is zero or false
    if all(actual.get(field, type(value)()) == value for field, value in merged.items()):
        return None
    return {**actual, **merged}


async def provision(nc: Client, *, replicas: int = 1) -> None:
    """Idempotent. Raises `StreamRefused` with the server's words, `LogUnavailable` if it does not answer."""
    for wanted in stream_configs(replicas=replicas):
        await _provision_one(nc, wanted)


async def _provision_one(nc: Client, wanted: Config) -> None:
    name = wanted["name"]
    info = await ask_jetstream(nc, f"$JS.API.STREAM.INFO.{name}", {})
    if "error" not in info:
        change = needed_change(info["config"], wanted)
        if change is None:
            return
        answer = await ask_jetstream(nc, f"$JS.API.STREAM.UPDATE.{name}", change)
    elif info["error"].get("err_code") == STREAM_NOT_FOUND:
        answer = await ask_jetstream(nc, f"$JS.API.STREAM.CREATE.{name}", wanted)
    else:
        answer = info
    if "error" in answer:
        raise StreamRefused(f"stream {name}: {answer['error'].get('description', answer['error'])}")


async def ask_jetstream(nc: Client, subject: str, body: Config | None = None) -> Config:
    """JetStream's own answer, which may hold an `error`. Raises `LogUnavailable`."""
    try:
        reply = await nc.request(subject, json.dumps(body or {}).encode(), timeout=10)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise LogUnavailable("JetStream does not answer: is it enabled on the NATS server?") from error
    answer: Config = json.loads(reply.data)
    return answer
