import asyncio
import json
from pathlib import Path

import pytest
from modelyard_contracts.messages import DownloadLogQuestion, LogAnswer, LogQuestion
from modelyard_worker_agent.adapters.logfiles import DownloadLogs, LogFiles, StartLog, last_lines


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "17" / "0" / "log.txt"
    path.parent.mkdir(parents=True)
    path.write_text("one\ntwo\nthree\n")
    return path


async def ask(log: Path, **asked: object) -> LogAnswer:
    question = LogQuestion.model_validate({"instance_id": 17, **asked})
    return await LogFiles(log.parents[2]).answer(question)


@pytest.mark.parametrize(
    ("tail", "text"),
    [(-1, "one\ntwo\nthree\n"), (0, ""), (1, "three\n"), (2, "two\nthree\n"), (9, "one\ntwo\nthree\n")],
)
async def test_tail(log: Path, tail: int, text: str) -> None:
    answer = await ask(log, tail=tail)

    assert (answer.text, answer.next_offset, answer.ended) == (text, 14, False)


async def test_a_line_that_is_still_being_written_counts_as_one(log: Path) -> None:
    log.write_text("one\ntw")

    assert (await ask(log, tail=1)).text == "tw"


async def test_a_follower_gets_each_byte_once(log: Path) -> None:
    log.write_text("".join(f"line {number} ü\n" for number in range(60_000)))
    parts, offset, more = [], 0, True
    while more:
        answer = await ask(log, offset=offset)
        parts.append(answer.text)
        offset, more = answer.next_offset, answer.more

    assert len(parts) > 1
    assert "".join(parts) == log.read_text()


@pytest.mark.parametrize("byte", [b"\x00", b"\xff", b"\x1b"])
async def test_an_answer_fits_into_a_message_whatever_was_logged(log: Path, byte: bytes) -> None:
    log.write_bytes(byte * 3_000_000)

    answer = await ask(log)

    assert len(answer.model_dump_json().encode()) < 1_000_000
    assert answer.more


@pytest.mark.parametrize("byte", [b"\x00", b"\xff", b"x"])
def test_last_lines_fit_into_a_fact_whatever_was_logged(log: Path, byte: bytes) -> None:
    log.write_bytes((byte * 5000 + b"\n") * 1000 + b"the end\n")

    lines = last_lines(StartLog(log.parent))

    assert lines[-1] == "the end"
    assert len(json.dumps(lines).encode()) < 200_000


async def test_who_waits_hears_as_soon_as_there_is_more(log: Path) -> None:
    waiting = asyncio.create_task(ask(log, offset=14, wait_s=20))
    await asyncio.sleep(0)
    with log.open("a") as file:
        file.write("four\n")

    assert (await asyncio.wait_for(waiting, 5)).text == "four\n"


@pytest.mark.parametrize("mark", ["exit.json", "failed"])
async def test_who_waits_hears_of_the_end(log: Path, mark: str) -> None:
    waiting = asyncio.create_task(ask(log, offset=14, wait_s=20))
    await asyncio.sleep(0)
    (log.parent / mark).write_text("{}")

    answer = await asyncio.wait_for(waiting, 5)
    assert (answer.text, answer.ended) == ("", True)


@pytest.fixture
def parts(log: Path) -> Path:
    """A log whose first part went already."""
    log.unlink()
    for begin, text in ((14, "four\nfi"), (21, "ve\nsix\n"), (28, "seven\n")):
        (log.parent / f"log.{begin}.txt").write_text(text)
    return log


@pytest.mark.parametrize(
    ("tail", "text"),
    [(-1, "four\nfive\nsix\nseven\n"), (0, ""), (1, "seven\n"), (3, "five\nsix\nseven\n"), (9, None)],
)
async def test_the_parts_of_a_log_are_read_as_one(parts: Path, tail: int, text: str | None) -> None:
    answer = await ask(parts, tail=tail)

    assert (answer.found, answer.next_offset) == (True, 34)
    assert answer.text == ("four\nfive\nsix\nseven\n" if text is None else text)
    assert last_lines(StartLog(parts.parent)) == ("four", "five", "six", "seven")


@pytest.mark.parametrize(
    ("offset", "text"), [(0, "four"), (14, "four"), (16, "ur"), (21, "ve"), (29, "even")]
)
async def test_a_follower_goes_on_where_it_was_or_with_the_first_that_is_kept(
    parts: Path, offset: int, text: str
) -> None:
    answer = await ask(parts, offset=offset)

    assert answer.text.splitlines()[0] == text
    assert (answer.next_offset, answer.more) == (34, False)


async def test_who_waits_hears_of_a_new_part(parts: Path) -> None:
    waiting = asyncio.create_task(ask(parts, offset=34, wait_s=20))
    await asyncio.sleep(0)
    (parts.parent / "log.34.txt").write_text("eight\n")

    assert (await asyncio.wait_for(waiting, 5)).text == "eight\n"


async def test_the_latest_start_is_meant_unless_said(log: Path) -> None:
    later = log.parents[1] / "1" / "log.txt"
    later.parent.mkdir()
    later.write_text("again\n")

    assert (await ask(log)).text == "again\n"
    assert (await ask(log, attempt=0)).text.startswith("one")
    assert not (await ask(log, attempt=2)).found


async def test_the_log_of_a_download_ends_with_it(log: Path) -> None:
    coming = [True]
    logs = DownloadLogs(lambda _: log.parent, lambda _: coming[0])
    question = DownloadLogQuestion(model_id="0" * 32, tail=1)
    first = await logs.answer(question)
    waiting = asyncio.create_task(logs.answer(question.model_copy(update={"offset": 14, "wait_s": 20})))
    await asyncio.sleep(0)
    coming[0] = False

    assert (first.text, first.ended) == ("three\n", False)
    assert (await waiting).ended


async def test_an_instance_that_never_was_here_has_no_log(tmp_path: Path) -> None:
    answer = await LogFiles(tmp_path).answer(LogQuestion(instance_id=4))

    assert not answer.found
    assert answer.message
