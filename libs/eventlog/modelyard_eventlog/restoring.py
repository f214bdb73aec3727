"""Puts events back into the log, each at the sequence that it had."""

import json
from collections.abc import AsyncIterator

import nats.errors
from nats.aio.client import Client

from modelyard_eventlog import subjects
from modelyard_eventlog.log import AnyRecorded, LogUnavailable
from modelyard_eventlog.provision import STREAM_NOT_FOUND, ask_jetstream, provision
from modelyard_eventlog.wire import encode_recorded

ANSWER_S = 10.0


class RestoreRefused(Exception):
    """Restoring would lose or alter events; the log is as it was, up to where it says."""


async def holes(nc: Client) -> int:
    """How many events are missing between the first sequence, 1, and the last. Raises `LogUnavailable`."""
    answer = await ask_jetstream(nc, f"$JS.API.STREAM.INFO.{subjects.EVT}")
    if "error" in answer:
        raise LogUnavailable(f"the event log is not there: {answer['error'].get('description')}")
    state = answer["state"]
    return int(state["last_seq"]) - int(state["messages"])


async def remove_log(nc: Client) -> None:
    """Deletes the stream of events with all it holds, and makes an empty one. Raises `LogUnavailable`."""
    answer = await ask_jetstream(nc, f"$JS.API.STREAM.DELETE.{subjects.EVT}")
    if "error" in answer and answer["error"].get("err_code") != STREAM_NOT_FOUND:
        raise LogUnavailable(f"the event log could not be removed: {answer['error'].get('description')}")
    await provision(nc)


async def restore(nc: Client, batches: AsyncIterator[list[AnyRecorded]]) -> int:
    """Appends these events, which must go on where the log ends; how many. A batch is in flight at once.

    Raises `RestoreRefused` if the log ends somewhere else, or another writes to it meanwhile, and
    `LogUnavailable`: what was acknowledged by then is kept, and another call may go on from there.
    """
    count = 0
    inbox = nc.new_inbox()
    answers = await nc.subscribe(inbox)
    try:
        async for events in batches:
            for event in events:
                headers, body = encode_recorded(event)
                headers["Nats-Expected-Stream"] = subjects.EVT
                headers["Nats-Expected-Last-Sequence"] = str(event.seq - 1)
                aggregate, ident = event.aggregate()
                await nc.publish(subjects.event(aggregate, ident), body, reply=inbox, headers=headers)
            for event in events:
                answer = json.loads((await answers.next_msg(timeout=ANSWER_S)).data)
                if "error" in answer:
                    raise RestoreRefused(f"event {event.seq}: {answer['error'].get('description', answer)}")
                if answer["seq"] != event.seq or answer.get("duplicate"):
                    raise RestoreRefused(f"event {event.seq} is in the log at {answer['seq']} already")
            count += len(events)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise LogUnavailable("the event log does not answer") from error
    finally:
        if not nc.is_closed:
            await answers.unsubscribe()
    return count
