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


async def test_an_observation_is_kept_once(own_nats: Client) -> None:
    await provision(own_nats)
    observation = Observation(
        id="obs/1/0/InstanceStarting",
        worker_id=4,
        event_type="InstanceStarting",
        version=1,
        data={"instance_id": 1},
        observed_at=cause("c").time,
        correlation_id="story",
        causation_id="why",
        actor="user/1",
    )
    for _ in range(3):
        await Observations(own_nats).publish(observation)
    message = await own_nats.jetstream().get_msg(subjects.OBS, 1)
    assert message.subject == "obs.4.1.InstanceStarting"
    assert Observation.model_validate_json(message.data or b"") == observation
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
