"""Wants, observations and questions over a real server."""

import asyncio
import json

import pytest
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.events import EVENT_TYPES
from modelyard_contracts.messages import Observation, PathAnswer, PathQuestion, Want
from modelyard_eventlog import subjects
from modelyard_eventlog.asyncapi import document
from modelyard_eventlog.desired import DesiredState
from modelyard_eventlog.observations import Observations
from modelyard_eventlog.provision import provision
from modelyard_eventlog.questions import NoAnswer, Questions
from modelyard_eventlog_cases import cause
from nats.aio.client import Client
from waiting import until


def want(instance_id: int, attempt: int = 0, worker_id: int = 1) -> Want:
    return Want(
        instance_id=instance_id,
        deployment_id=1,
        worker_id=worker_id,
        name=f"chat-{instance_id}",
        deployment_name="chat",
        state="running",
        attempt=attempt,
        spec=DeploymentSpec(source=Source.LOCAL_PATH, local_path="/a.gguf"),
        correlation_id="story",
        actor="user/1",
    )


async def test_a_worker_reads_its_latest_wants_and_then_every_new_one(own_nats: Client) -> None:
    await provision(own_nats)
    desired = DesiredState(own_nats)
    for wanted in (want(1), want(1, 1), want(2), want(3, worker_id=2)):
        await desired.put(wanted)
    seen: list[tuple[int, int]] = []

    async def follow() -> None:
        async for wanted in desired.follow(1):
            seen.append((wanted.instance_id, wanted.attempt))

    following = asyncio.create_task(follow())
    await until(lambda: sorted(seen) == [(1, 1), (2, 0)])
    await desired.put(want(2, 5))
    await until(lambda: seen[-1] == (2, 5))
    following.cancel()

    assert set(await desired.read_all()) == {(1, 1), (1, 2), (2, 3)}
    await desired.forget(1, 1)
    assert set(await desired.read_all()) == {(1, 2), (2, 3)}


def observation(ident: str, worker_id: int = 4) -> Observation:
    return Observation(
        id=ident,
        worker_id=worker_id,
        event_type="InstanceStarting",
        version=1,
        data={"instance_id": 1},
        observed_at=cause("c").time,
        correlation_id="story",
        causation_id="why",
        actor="user/1",
    )


async def test_an_observation_is_kept_once(own_nats: Client) -> None:
    await provision(own_nats)
    made = observation("obs/1/0/InstanceStarting")
    for _ in range(3):
        await Observations(own_nats).publish(made)
    message = await own_nats.jetstream().get_msg(subjects.OBS, 1)
    assert message.subject == "obs.4.1.InstanceStarting"
    assert Observation.model_validate_json(message.data or b"") == made
    assert (await own_nats.jetstream().stream_info(subjects.OBS)).state.messages == 1


async def test_questions_are_answered_side_by_side(own_nats: Client) -> None:
    release = asyncio.Event()

    async def answer(question: PathQuestion) -> PathAnswer:
        if question.path == "/slow":
            await release.wait()
        return PathAnswer(found=True, message="here", file=question.path)

    questions = Questions(own_nats)
    await questions.answer(1, "path", PathQuestion, answer)
    slow = asyncio.create_task(questions.ask(1, "path", PathQuestion(path="/slow"), PathAnswer))
    assert (await questions.ask(1, "path", PathQuestion(path="/fast"), PathAnswer)).file == "/fast"
    release.set()
    assert (await slow).file == "/slow"


async def test_a_worker_that_is_not_there_gives_no_answer(own_nats: Client) -> None:
    with pytest.raises(NoAnswer, match="worker 9 is not connected"):
        await Questions(own_nats).ask(9, "path", PathQuestion(path="/a"), PathAnswer)


def test_the_asyncapi_document_lists_every_event() -> None:
    made = document(version="1")
    assert set(made["channels"]) == set(EVENT_TYPES)
    assert made["channels"]["InstanceRunning"]["address"] == "evt.instance.*"
    assert {operation["action"] for operation in made["operations"].values()} == {"send"}
    json.dumps(made)


async def test_observations_are_followed_in_order_without_what_cannot_be_read_or_is_said_for_another(
    own_nats: Client,
) -> None:
    await provision(own_nats)
    observations = Observations(own_nats)
    for number in range(1, 4):
        await observations.publish(observation(f"o{number}", worker_id=number))
    lie = observation("lie", worker_id=1).model_dump_json().encode()
    await own_nats.jetstream().publish(subjects.observation(2, 1, "InstanceStarting"), lie)
    await own_nats.jetstream().publish(subjects.observation(2, 2, "InstanceStarting"), b"no observation")
    await observations.publish(observation("o4", worker_id=1))
    seen: list[str] = []
    async with asyncio.timeout(20):
        async for observed in observations.follow(1):
            seen += [one.id for one in observed.observations]
            if observed.seq == 6:
                break
    assert seen == ["o2", "o3", "o4"]
