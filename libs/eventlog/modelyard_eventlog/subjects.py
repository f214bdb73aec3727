"""The names on the wire. Nothing outside this package spells a subject."""

from modelyard_contracts.base import Aggregate

EVT = "EVT"
TIMERS = "TIMERS"
DESIRED = "DESIRED"
OBS = "OBS"
HB = "HB"
DLQ = "DLQ"
LEASES = "LEASES"
SNAPSHOTS = "SNAPSHOTS"
USAGE = "USAGE"
QUOTAS = "QUOTAS"

ALL_EVENTS = "evt.>"
ALL_OBSERVATIONS = "obs.>"
ALL_WANTS = "want.*.*"
ALL_FILE_WANTS = "want.*.file.*"
ALL_HEARTBEATS = "hb.*"
ALL_FIRED_TIMERS = "timer.fired.>"
ALL_USAGE = "usage.*"
ALL_QUOTAS = "quota.*.*"

GATEWAYS = "ask.gateway.request"
"""Every process of every gateway hears it."""


def event(aggregate: Aggregate, ident: str) -> str:
    return f"evt.{aggregate}.{ident}"


def want(worker_id: int, instance_id: int) -> str:
    return f"want.{worker_id}.{instance_id}"


def wants_of(worker_id: int) -> str:
    return f"want.{worker_id}.*"


def file_want(worker_id: int, file_id: int) -> str:
    return f"want.{worker_id}.file.{file_id}"


def file_wants_of(worker_id: int) -> str:
    return f"want.{worker_id}.file.*"


def observation(worker_id: int, instance_id: int, event_type: str) -> str:
    """`instance_id` 0 stands for the worker itself."""
    return f"obs.{worker_id}.{instance_id}.{event_type}"


def observations_of(worker_id: int) -> str:
    """The prefix of everything one worker observes."""
    return f"obs.{worker_id}."


def heartbeat(worker_id: int) -> str:
    return f"hb.{worker_id}"


def timer_set(name: str) -> str:
    return f"timer.set.{name}"


def timer_fired(name: str) -> str:
    return f"timer.fired.{name}"


def usage(process: str) -> str:
    return f"usage.{process}"


def quota(process: str, part: int) -> str:
    return f"quota.{process}.{part}"


def lease(service: str) -> str:
    return f"lease.{service}"


def snapshot(service: str, part: int) -> str:
    return f"snapshot.{service}.{part}"


def question(worker_id: int, kind: str) -> str:
    return f"ask.{worker_id}.{kind}"


def subject_of(nats_subject: str) -> str:
    """`evt.deployment.3` as CloudEvents says it: `deployment/3`."""
    _, aggregate, ident = nats_subject.split(".", 2)
    return f"{aggregate}/{ident}"
