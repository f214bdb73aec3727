"""Model servers in containers. Each has a process of ours that stands for it (`launchers.container`) and is
run as any model server is; so logs, ends and adoption are the same. If that process is gone and the container
is not, a new one takes it up."""

import asyncio
import socket
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard_worker_agent.adapters.processes import POLL_S, START_S, ProcessExecutor
from modelyard_worker_agent.launchers.container import STANDING
from modelyard_worker_agent.launchers.engine import AGENT, LABEL, RECIPE, RUN, Engine, EngineError, Recipe
from modelyard_worker_agent.ports import Container, Launch, Process, StartFailed


@dataclass(frozen=True, slots=True)
class Docker:
    """`network`: one that the agent is on too, because it runs in a container itself."""

    socket: str
    network: str | None
    worker_id: int


class DockerExecutor(ProcessExecutor):
    in_container = True

    def __init__(self, log_bytes: int, agent: str, docker: Docker) -> None:
        super().__init__(log_bytes, agent)
        self._docker = docker
        self._engine = Engine(docker.socket)

    async def start(self, launch: Launch) -> Process:
        if launch.container is None:
            raise StartFailed("there is no image to run")
        try:
            mounts = await asyncio.to_thread(self._mounts, launch.container.mounts)
        except EngineError as error:
            raise StartFailed(str(error)) from error
        return await super().start(self._standing_for(launch, launch.container, mounts))

    def find(self, directory: Path) -> Process | None:
        found = super().find(directory)
        if found is not None or not (directory / RECIPE).exists():
            return found
        with suppress(EngineError):
            if self._running(directory):
                return self.take_up(directory, command_for(directory))
        return None

    def fetching(self, directory: Path) -> bool:
        return not (directory / STANDING).exists()

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
        await asyncio.to_thread(self._remove, directory)

    def _remove(self, directory: Path) -> None:
        with suppress(EngineError):
            for ident in self._labelled(directory):
                self._engine.remove(ident)

    def runs(self, instances: Path) -> frozenset[Path]:
        found = set(super().runs(instances))
        with suppress(EngineError):
            for ident in self._labelled():
                run = Path(self._engine.inspect(ident)["Config"]["Labels"][RUN])
                found.update({run} if run.parent.parent == instances else ())
        return frozenset(found)

    def pids(self, directory: Path) -> frozenset[int]:
        found = set(super().pids(directory))
        with suppress(EngineError):
            for ident in self._running(directory):
                found.update(self._engine.pids(ident))
        return frozenset(found)

    def ours(self, pids: Collection[int]) -> frozenset[int]:
        with suppress(EngineError):
            own = {pid for ident in self._running() for pid in self._engine.pids(ident)}
            return frozenset(pids) & own
        return frozenset()

    def _labelled(self, directory: Path | None = None) -> list[str]:
        """Our containers, of one run or of all."""
        run = {} if directory is None else {RUN: str(directory)}
        return self._engine.labelled({AGENT: self._agent, **run})

    def _running(self, directory: Path | None = None) -> list[str]:
        return [ident for ident in self._labelled(directory) if self._engine.running(ident)]

    def _mounts(self, paths: Sequence[str]) -> dict[str, str]:
        """By path, where the engine finds it. Raises `EngineError`, `StartFailed`."""
        if self._docker.network is None:
            return {path: path for path in paths}
        volumes = self._engine.mounts_of(socket.gethostname())
        return {path: on_the_engines_machine(path, volumes) for path in paths}

    def _standing_for(self, launch: Launch, container: Container, mounts: dict[str, str]) -> Launch:
        recipe = Recipe(
            socket=self._docker.socket,
            image=container.image,
            command=launch.command,
            entrypoint=container.entrypoint,
            variables=tuple(launch.env),
            port=container.port,
            mounts=mounts,
            devices=container.devices,
            memory_bytes=container.memory_bytes,
            labels={
                **{f"{LABEL}.{name}": value for name, value in container.labels.items()},
                RUN: str(launch.directory),
                AGENT: self._agent,
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


def on_the_engines_machine(path: str, volumes: Mapping[str, str]) -> str:
    """`volumes`: by path here, the path there. Raises `StartFailed` for what lies in none of them."""
    around = [Path(volume) for volume in volumes if Path(path).is_relative_to(volume)]
    if not around:
        raise StartFailed(
            f"{path} is in no volume of the agent's container, so no other container can have it"
        )
    nearest = max(around, key=lambda volume: len(volume.parts))
    return str(Path(volumes[str(nearest)]) / Path(path).relative_to(nearest))
