"""Model servers in containers. Each has a process of ours that stands for it (`launchers.container`) and is
run as any model server is; so logs, ends and adoption are the same. If that process is gone and the container
is not, a new one takes it up."""

import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard_worker_agent.adapters.processes import POLL_S, START_S, ProcessExecutor
from modelyard_worker_agent.launchers.container import STANDING
from modelyard_worker_agent.launchers.engine import LABEL, RECIPE, Engine, EngineError, Recipe
from modelyard_worker_agent.ports import Launch, Process, StartFailed


@dataclass(frozen=True, slots=True)
class Docker:
    """`network`: one that the agent is on too, where it runs in a container itself."""

    socket: str
    network: str | None
    worker_id: int


class DockerExecutor(ProcessExecutor):
    in_container = True

    def __init__(self, log_bytes: int, docker: Docker) -> None:
        super().__init__(log_bytes)
        self._docker = docker
        self._engine = Engine(docker.socket)

    async def start(self, launch: Launch) -> Process:
        if launch.container is None:
            raise StartFailed("there is no image to run")
        return await super().start(self._standing_for(launch))

    def find(self, directory: Path) -> Process | None:
        found = super().find(directory)
        if found is not None or not (directory / RECIPE).exists():
            return found
        with suppress(EngineError):
            ident = self._engine.of_run(directory)
            if ident is not None and self._engine.running(ident):
                return self.take_up(directory, command_for(directory))
        return None

    def take_up(self, directory: Path, command: Sequence[str]) -> Process:
        """Asked to end before it hears that, it would leave the container no time to."""
        (directory / STANDING).unlink(missing_ok=True)
        taken = super().take_up(directory, command)
        deadline = time.monotonic() + START_S
        while not (directory / STANDING).exists() and self.alive(taken) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return taken

    async def end_leftovers(self, directory: Path) -> None:
        await super().end_leftovers(directory)
        with suppress(EngineError):
            for ident in self._engine.labelled({f"{LABEL}.run": str(directory)}):
                self._engine.remove(ident)

    def runs(self, instances: Path) -> frozenset[Path]:
        found = set(super().runs(instances))
        with suppress(EngineError):
            for ident in self._engine.labelled({f"{LABEL}.worker": str(self._docker.worker_id)}):
                run = Path(self._engine.inspect(ident)["Config"]["Labels"].get(f"{LABEL}.run", ""))
                found.update({run} if run.parent.parent == instances else ())
        return frozenset(found)

    def pids(self, directory: Path) -> frozenset[int]:
        found = set(super().pids(directory))
        with suppress(EngineError):
            ident = self._engine.of_run(directory)
            if ident is not None and self._engine.running(ident):
                found.update(self._engine.pids(ident))
        return frozenset(found)

    def ours(self, pids: Collection[int]) -> frozenset[int]:
        with suppress(EngineError):
            containers = self._engine.labelled({f"{LABEL}.worker": str(self._docker.worker_id)})
            own = {pid for ident in containers for pid in self._engine.pids(ident)}
            return frozenset(pids) & own
        return frozenset()

    def _standing_for(self, launch: Launch) -> Launch:
        container = launch.container
        assert container is not None  # noqa: S101 - start() has looked
        recipe = Recipe(
            socket=self._docker.socket,
            image=container.image,
            command=launch.command,
            entrypoint=container.entrypoint,
            variables=tuple(launch.env),
            port=container.port,
            mounts=container.mounts,
            devices=container.devices,
            memory_bytes=container.memory_bytes,
            labels={
                **{f"{LABEL}.{name}": value for name, value in container.labels.items()},
                f"{LABEL}.run": str(launch.directory),
                f"{LABEL}.worker": str(self._docker.worker_id),
            },
            network=self._docker.network,
            version=container.version,
        )
        return replace(
            launch,
            command=command_for(launch.directory),
            files={**launch.files, RECIPE: recipe.text()},
            listening=None,
        )


def command_for(directory: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "modelyard_worker_agent.launchers.container", str(directory))
