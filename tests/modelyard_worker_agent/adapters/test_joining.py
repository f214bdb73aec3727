"""Joining over real HTTP."""

import asyncio
from pathlib import Path

import pytest
from modelyard_contracts.join import JoinAnswer, JoinRequest
from modelyard_worker_agent.adapters.identity import IdentityFiles
from modelyard_worker_agent.adapters.joining import Joiner
from modelyard_worker_agent.ports import JoinRefused
from modelyard_worker_agent_api import Api, refusing
from waiting import until

ANSWER = JoinAnswer(worker_id=3, name="box-1", nats_url="nats://127.0.0.1:1", nats_jwt="jwt", secret_key="k")


def welcoming(request: JoinRequest) -> tuple[int, str]:
    return 200, ANSWER.model_dump_json()


def joiner(state: Path, api: Api) -> Joiner:
    return Joiner(IdentityFiles(state), api=api.url, token="join-me", name="box", labels={"zone": "a"})


async def test_who_joins_shows_the_token_and_its_public_key(tmp_path: Path) -> None:
    with Api(welcoming).serving() as api:
        assert await joiner(tmp_path, api).join() == ANSWER

    identity = IdentityFiles(tmp_path).identity()
    [asked] = api.asked
    assert api.tokens == ["Bearer join-me"]
    assert (asked.name, asked.labels) == ("box", {"zone": "a"})
    assert (asked.worker_uuid, asked.public_key) == (identity.worker_uuid, identity.public_key)
    assert identity.seed not in asked.model_dump_json()


async def test_the_answer_is_kept_for_the_owner_only(tmp_path: Path) -> None:
    with Api(welcoming).serving() as api:
        await joiner(tmp_path, api).join()

    files = IdentityFiles(tmp_path)
    assert files.joined() == ANSWER
    credentials = files.credentials.read_text()
    assert "jwt" in credentials
    assert files.identity().seed in credentials
    for name in ("identity.json", "joined.json", "nats.creds"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


async def test_who_joins_again_is_the_same(tmp_path: Path) -> None:
    with Api(welcoming).serving() as api:
        await joiner(tmp_path, api).join()
        await joiner(tmp_path, api).join()

    assert api.asked[0] == api.asked[1]


async def test_a_refusal_is_told_in_the_words_of_the_api(tmp_path: Path) -> None:
    with Api(refusing).serving() as api, pytest.raises(JoinRefused, match="not the right one"):
        await joiner(tmp_path, api).join()

    assert IdentityFiles(tmp_path).joined() is None


async def test_who_has_no_token_hears_so_from_the_api(tmp_path: Path) -> None:
    with Api(refusing).serving() as api, pytest.raises(JoinRefused, match="not the right one"):
        await Joiner(IdentityFiles(tmp_path), api=api.url, token=None, name="box", labels={}).join()

    assert api.tokens == [None]


async def test_an_api_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    api = Api(welcoming)
    joining = asyncio.create_task(joiner(tmp_path, api).join())
    await until((tmp_path / "identity.json").exists)
    with api.serving():
        assert await asyncio.wait_for(joining, 20) == ANSWER


@pytest.mark.parametrize(
    "answer",
    [(500, "{}"), (503, '{"message": "Postgres is away"}'), (200, "<html>a proxy</html>"), (200, "{}")],
)
async def test_an_answer_that_makes_no_sense_is_not_kept_and_another_is_asked_for(
    tmp_path: Path, answer: tuple[int, str]
) -> None:
    with Api(lambda _: answer).serving() as api:
        joining = asyncio.create_task(joiner(tmp_path, api).join())
        await until(lambda: len(api.asked) == 1)
        assert IdentityFiles(tmp_path).joined() is None
        api.answer = welcoming
        assert await asyncio.wait_for(joining, 20) == ANSWER
