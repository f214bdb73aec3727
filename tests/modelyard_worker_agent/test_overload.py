"""What a real agent does on a machine that has more work than it can do."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.messages import Heartbeat
from modelyard_worker_agent_world import Machine, is_gone, spec_of, want
from nats.aio.msg import Msg
from waiting import until

EXCUSED = "does not count"
LABORIOUS = """
import http.server, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        begun = time.thread_time()
        while time.thread_time() < begun + 0.02:
            pass
        self.send_response(200)
        self.end_headers()

http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
"""An answer takes some work: a machine that leaves it none of its time gets none."""


async def test_one_after_the_other_is_started_and_what_had_been_running_before_what_is_new(
    machine: Machine, tiny_model: Path
) -> None:
    beats: list[Heartbeat] = []

    async def heard(message: Msg) -> None:
        beats.append(Heartbeat.model_validate_json(message.data))

    await machine.nc.subscribe("hb.>", cb=heard)
    machine.start_agent(MODELYARD_STARTS_AT_ONCE="1", MODELYARD_TELEMETRY_S="0.1")
    await machine.wish(want(spec_of(tiny_model), instance=1))
    running = await machine.observe("InstanceRunning", instance=1)
    await machine.wish(want(spec_of(tiny_model), instance=2))
    held = await machine.observe("InstanceStarting", instance=2)
    os.kill(held["pid"], signal.SIGSTOP)
    for instance in (3, 4):
        await machine.wish(want(spec_of(tiny_model), instance=instance))
    os.kill(running["pid"], signal.SIGKILL)
    await machine.observe("InstanceFailed", instance=1)
    await machine.wish(want(spec_of(tiny_model), instance=1, attempt=1))
    await until(lambda: any(beat.telemetry and len(beat.telemetry.waiting) == 3 for beat in beats))

    os.kill(held["pid"], signal.SIGCONT)

    for instance, attempt in ((2, 0), (1, 1), (3, 0), (4, 0)):
        await machine.observe("InstanceRunning", instance=instance, attempt=attempt)
    told = [beat.telemetry for beat in beats if beat.telemetry and len(beat.telemetry.waiting) == 3]
    assert (told[0].starting, told[0].waiting) == (1, (1, 3, 4))
    order = [
        (seen.event_type.removeprefix("Instance"), seen.data["instance_id"], seen.data["attempt"])
        for seen in machine.observations
        if seen.event_type in ("InstanceStarting", "InstanceRunning")
    ]
    assert order[2:] == [
        (step, instance, attempt)
        for instance, attempt in ((2, 0), (1, 1), (3, 0), (4, 0))
        for step in ("Starting", "Running")
    ]


async def test_one_that_waits_and_is_not_wanted_any_more_is_never_started(
    machine: Machine, tiny_model: Path
) -> None:
    machine.start_agent(MODELYARD_STARTS_AT_ONCE="1")
    await machine.wish(want(spec_of(tiny_model), instance=1))
    held = await machine.observe("InstanceStarting", instance=1)
    os.kill(held["pid"], signal.SIGSTOP)
    await machine.wish(want(spec_of(tiny_model), instance=2))

    await machine.wish(want(spec_of(tiny_model), instance=2, state="absent"))

    await machine.observe("InstanceStopped", instance=2)
    assert machine.story(instance=2) == ["InstanceStopped"]


async def test_a_server_that_the_machine_does_not_let_run_is_not_killed_but_one_that_is_stopped_is(
    machine: Machine, tmp_path: Path
) -> None:
    machine.start_agent()
    laborious = want(spec_of(tmp_path).model_copy(update={"backend_parameters": ()}))
    await machine.wish(laborious.model_copy(update={"backend": laborious_in(tmp_path)}))
    running = await machine.observe("InstanceRunning")

    with starved(running["pid"]):
        await until(lambda: machine.log_of_agent().count(EXCUSED) > 5, 20)
        assert "InstanceFailed" not in machine.story()
        os.kill(running["pid"], signal.SIGSTOP)
        failed = await machine.observe("InstanceFailed", seconds=30)

    assert failed["cause"] == "unresponsive"
    assert is_gone(running["pid"])


def laborious_in(directory: Path) -> InferenceBackend:
    (directory / "config.json").write_text("{}")
    program = directory / "laborious.py"
    program.write_text(LABORIOUS)
    command = f"{sys.executable} {program} {{{{host}}}} {{{{port}}}}"
    return InferenceBackend(backend_name="laborious-custom", default_run_command=command)


@contextmanager
def starved(pid: int) -> Iterator[None]:
    """It has to share one processor with others that always want it and count for more."""
    cpu = {max(os.sched_getaffinity(0))}
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, cpu)
        os.setpriority(os.PRIO_PROCESS, thread.id, 19)
    with suppress(OSError):  # where each session counts as one
        Path(f"/proc/{pid}/autogroup").write_text("19")
    busy = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(busy, start_new_session=True) for _ in range(4)]
    try:
        for other in others:
            os.sched_setaffinity(other.pid, cpu)
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()
