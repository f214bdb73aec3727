"""Starts the model server that a want asks for."""

import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from modelyard_backends.builtin import BUILT_IN
from modelyard_backends.command import command_line
from modelyard_backends.dialects import dialect_of
from modelyard_backends.start import CannotStart, CommandLine, Group, Member, Start
from modelyard_backends.versions import check_installed, image_of, settings_of, version_wanted
from modelyard_contracts.backends import BackendVersion, InferenceBackend
from modelyard_contracts.deployments import Backend
from modelyard_contracts.failures import FailureCause
from modelyard_contracts.messages import GroupWant, Want
from modelyard_contracts.parameters import BadParameters
from modelyard_runtime.secrets import Sealer, Unsealable

from modelyard_worker_agent.adapters.interfaces import NoWay, interface_of
from modelyard_worker_agent.adapters.processes import free_port
from modelyard_worker_agent.adapters.run_files import LAUNCHED, Launched
from modelyard_worker_agent.domain.failures import Failure
from modelyard_worker_agent.domain.launching import backend_of, framework_of, visible_devices
from modelyard_worker_agent.handlers.fetching import Files, files_of
from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.ports import (
    Container,
    DownloadFailed,
    Launch,
    Listening,
    ModelMissing,
    Process,
    StartFailed,
)

LOOPBACK = "127.0.0.1"


class NotStarted(Exception):
    """Nothing runs; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


async def start(
    machine: Machine,
    want: Want,
    directory: Path,
    downloading: Callable[[], Awaitable[None]],
    let_go: Callable[[], None],
) -> Process:
    """Returns once the process is there; `let_go` of the ports that it takes is the last thing before.
    Raises `NotStarted`."""
    files, env = await resolve(machine, want, downloading)
    await _turn(machine, want)
    try:
        return await _launch(machine, want, directory, files, env, let_go)
    except (BadParameters, CannotStart, Unsealable) as error:
        raise not_started(FailureCause.BAD_ARGUMENT, str(error)) from error
    except StartFailed as error:
        raise not_started(FailureCause.CRASHED, str(error)) from error


async def _turn(machine: Machine, want: Want) -> None:
    """Parts of a group start together, and on several workers: each waiting for others, none would."""
    if want.group is not None:
        machine.starts.enter_at_once(want.instance_id)
        return
    had_been_running = machine.files.has_run(want.instance_id)
    await machine.starts.enter(want.instance_id, had_been_running=had_been_running)


async def resolve(
    machine: Machine, want: Want, downloading: Callable[[], Awaitable[None]]
) -> tuple[Files, dict[str, str]]:
    """What is served, on this disk, and the deployment's variables in clear. Raises `NotStarted`."""
    try:
        env = machine.sealer.unseal_all(want.spec.env)
        return await files_of(machine.models, want, env, downloading), env
    except ModelMissing as error:
        raise not_started(FailureCause.MODEL_NOT_FOUND, str(error)) from error
    except DownloadFailed as error:
        raise not_started(FailureCause.DOWNLOAD_FAILED, str(error)) from error
    except (CannotStart, Unsealable) as error:
        raise not_started(FailureCause.BAD_ARGUMENT, str(error)) from error


def not_started(cause: FailureCause, message: str) -> NotStarted:
    return NotStarted(Failure(cause, message, None, None))


async def _launch(
    machine: Machine,
    want: Want,
    directory: Path,
    files: Files,
    env: Mapping[str, str],
    let_go: Callable[[], None],
) -> Process:
    backend = unsealed(backend_of(want, files.model), machine.sealer)
    if backend.backend_name == Backend.LLAMA_CPP:
        _check_gguf(files)
    if machine.executor.in_container:
        return await machine.executor.start(contained(machine, want, directory, files, backend, env))
    installed = await asyncio.to_thread(machine.programs.version, backend)
    launch = bare(machine, want, directory, files, backend, installed, env)
    let_go()
    return await machine.executor.start(launch)


def _check_gguf(files: Files) -> None:
    """Raises `CannotStart`."""
    read = [
        ("backend", files.model),
        *(("lora_list", Path(adapter.path)) for adapter in files.adapters),
        *([("speculative_config.draft_model", files.draft)] if files.draft else []),
    ]
    for field, path in read:
        if path.suffix != ".gguf":
            raise CannotStart(f"{field}: llama.cpp serves .gguf files, and {path} is none")


def bare(
    machine: Machine,
    want: Want,
    directory: Path,
    files: Files,
    backend: InferenceBackend,
    installed: str | None,
    env: Mapping[str, str],
) -> Launch:
    """As a process, with what is installed. Raises `CannotStart`, `BadParameters`."""
    asked = want.spec.backend_version
    version = check_installed(backend, asked, installed) if installed else version_wanted(backend, asked)
    host = _host(backend, want)
    port = free_port(host)
    begin = start_of(machine, want, directory, files, version, host, port)
    line = command_line(backend, want.spec, begin, env=env, in_container=False)
    command = machine.programs.command(backend.backend_name, line.arguments)
    launched = launched_as(
        backend, version, line, machine.programs.command(backend.backend_name, line.shown), None
    )
    reports_itself = "{{report}}" in _template(backend, want)
    return Launch(
        directory=directory,
        command=command,
        env={**_path(machine, backend), **visible_devices(want.claim), **line.env},
        files={**line.files, LAUNCHED: launched.text()},
        listening=None if reports_itself else Listening(host, port, version or ""),
    )


def _host(backend: InferenceBackend, want: Want) -> str:
    if want.group is not None and dialect_of(backend.backend_name).group_on_address:
        return want.group.members[want.group.rank].address or LOOPBACK
    return LOOPBACK


def contained(
    machine: Machine,
    want: Want,
    directory: Path,
    files: Files,
    backend: InferenceBackend,
    env: Mapping[str, str],
) -> Launch:
    """In a container, on all of its own addresses. Raises `CannotStart`, `BadParameters`."""
    version = version_wanted(backend, want.spec.backend_version)
    framework = framework_of(want.claim)
    image = image_of(backend, version, framework, want.spec.image_name)
    port = backend.container_port
    begin = start_of(machine, want, directory, files, version, "0.0.0.0", port)
    line = command_line(backend, want.spec, begin, env=env, in_container=True)
    seen = visible_devices(want.claim) if framework not in ("cpu", "cuda") else {}
    container = Container(
        image=image,
        port=port,
        version=version or "",
        entrypoint=entrypoint_of(backend, version),
        mounts=(*mounts_of(files), *([str(directory)] if line.files else [])),
        devices=want.claim.devices(),
        memory_bytes=want.claim.ram_bytes,
        labels={"instance": str(want.instance_id), "generation": str(want.attempt)},
    )
    launched = launched_as(backend, version, line, line.shown, image)
    return Launch(
        directory=directory,
        command=line.arguments,
        env={**seen, **line.env},
        files={**line.files, LAUNCHED: launched.text()},
        container=container,
    )


def start_of(
    machine: Machine, want: Want, directory: Path, files: Files, version: str | None, host: str, port: int
) -> Start:
    return Start(
        model_path=str(files.model),
        model_name=want.deployment_name,
        host=host,
        port=port,
        worker_ip=machine.limits.address,
        version=version,
        framework=framework_of(want.claim),
        claim=want.claim,
        python=sys.executable,
        directory=str(directory),
        adapters=files.adapters,
        draft_path=str(files.draft) if files.draft else None,
        projector_path=str(files.projector) if files.projector else None,
        vram_bytes=sum(want.claim.vram_bytes.values()),
        group=None if want.group is None else group_of(want.group),
    )


def group_of(group: GroupWant) -> Group:
    """Raises `CannotStart`."""
    members = tuple(
        Member(one.address or "", one.device_count, one.device_addresses) for one in group.members
    )
    try:
        interface, _ = interface_of(members[group.rank].address)
    except NoWay as error:
        raise CannotStart(str(error)) from error
    return Group(members, group.rank, group.ports, interface)


def launched_as(
    backend: InferenceBackend,
    version: str | None,
    line: CommandLine,
    shown: tuple[str, ...],
    image: str | None,
) -> Launched:
    return Launched(
        backend=backend.backend_name,
        version=version,
        health_path=backend.health_check_path,
        arguments=(*line.injected, *line.given),
        command=shown,
        injected=line.injected,
        image=image,
    )


def mounts_of(files: Files) -> tuple[str, ...]:
    """A file's directory, since a split model has its other parts there, and a projector lies beside."""
    read = (files.model, *(Path(adapter.path) for adapter in files.adapters), files.draft)
    folders = (path if path.is_dir() else path.parent for path in read if path is not None)
    return tuple(dict.fromkeys(str(folder) for folder in folders))


def entrypoint_of(backend: InferenceBackend, version: str | None) -> tuple[str, ...]:
    text = settings_of(backend, version).entrypoint or backend.default_entrypoint
    return tuple(shlex.split(text)) if text else ()


def _template(backend: InferenceBackend, want: Want) -> str:
    version = backend.version_configs.get(want.spec.backend_version or "", BackendVersion())
    own = want.spec.run_command or version.run_command
    return own or backend.process_command or backend.default_run_command or ""


def _path(machine: Machine, backend: InferenceBackend) -> dict[str, str]:
    """Programs that come with the backend's own are found before others."""
    first = machine.programs.directories(backend.backend_name)
    return {"PATH": os.pathsep.join([*first, os.environ.get("PATH", "")])} if first else {}


def launched_unknown(want: Want) -> Launched:
    """Of a server whose agent was gone before it could write down how it was started."""
    backend = want.backend or BUILT_IN[Backend.LLAMA_CPP]
    given = want.spec.backend_parameters
    return Launched(backend.backend_name, None, backend.health_check_path, given, (), ())


def unsealed(backend: InferenceBackend, sealer: Sealer) -> InferenceBackend:
    """With its variables in clear. Raises `Unsealable`."""
    versions = {
        name: version.model_copy(update={"env": sealer.unseal_all(version.env)})
        for name, version in backend.version_configs.items()
    }
    env = sealer.unseal_all(backend.default_env)
    return backend.model_copy(update={"default_env": env, "version_configs": versions})
