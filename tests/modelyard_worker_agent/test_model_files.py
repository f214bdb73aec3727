"""What an agent does about the models on its disk: killed amid a download, told to delete, started anew."""

import signal
import threading
from collections.abc import Iterator

import pytest
from hub_server import Hub, hub_server
from modelyard_contracts.deployments import Source
from modelyard_contracts.events import model_file_id
from modelyard_contracts.messages import FileWant
from modelyard_contracts.models import ModelCoordinates
from modelyard_eventlog.desired import DesiredState
from modelyard_worker_agent_world import WORKER, Machine
from waiting import until

LARGE = b"a model of many bytes." * 2_000_000
MODEL = ModelCoordinates(source=Source.HUGGINGFACE, repo="org/large", file="*.gguf")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hub_server() as made:
        made.add("org/large", {"m.gguf": LARGE})
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


async def wish(machine: Machine, state: str) -> None:
    wanted = {"worker_id": WORKER, "file_id": model_file_id(WORKER, MODEL.model_id()), "model": MODEL}
    want = FileWant.model_validate(
        {**wanted, "state": state, "wish": state, "correlation_id": "c", "actor": "user/1"}
    )
    await DesiredState(machine.nc).put_file(want)


async def test_a_killed_agent_takes_up_a_prefetch_where_it_ended(machine: Machine, hub: Hub) -> None:
    stalled = threading.Event()
    trouble = hub.trouble("resolve/", stalled=stalled)
    machine.start_agent()
    await wish(machine, "present")
    await machine.observe("ModelFileDownloading")
    parts = machine.state / "models" / MODEL.model_id() / "files" / ".parts" / "m.gguf"
    await until(lambda: parts.exists() and parts.stat().st_size > len(LARGE) // 4, 30)

    machine.end_agent(signal.SIGKILL)
    trouble.times = 0
    sent = hub.bytes_sent
    machine.start_agent()

    done = await machine.observe("ModelFileDownloaded", seconds=40)
    assert done["size_bytes"] == len(LARGE)
    assert hub.bytes_sent - sent < len(LARGE)


async def test_a_model_is_deleted_when_wanted_and_what_is_there_is_said_at_each_start(
    machine: Machine, hub: Hub
) -> None:
    machine.start_agent()
    await wish(machine, "present")
    done = await machine.observe("ModelFileDownloaded", seconds=40)
    machine.end_agent()
    machine.start_agent()
    await until(lambda: len(machine.seen("ModelFileDownloaded")) > 1, 40)

    await wish(machine, "absent")

    await machine.observe("ModelFileDeleted")
    assert not (machine.state / "models" / MODEL.model_id()).exists()
    assert done["path"].endswith("files/m.gguf")
