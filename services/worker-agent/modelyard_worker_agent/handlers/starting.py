"""Starts the model server that a want asks for."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from modelyard_backends.builtin import BUILT_IN
from modelyard_backends.command import command_line
from modelyard_backends.start import Adapter, CannotStart, Start
from modelyard_backends.versions import check_installed, version_wanted
from modelyard_contracts.backends import BackendVersion, InferenceBackend
from modelyard_contracts.deployments import Backend, Source
from modelyard_contracts.events import FailureCause
from modelyard_contracts.messages import Want
from modelyard_contracts.parameters import BadParameters
from modelyard_runtime.secrets import Sealer, Unsealable

from modelyard_worker_agent.adapters.processes import free_port
from modelyard_worker_agent.adapters.run_files import LAUNCHED, Launched
from modelyard_worker_agent.domain.failures import Failure
from modelyard_worker_agent.domain.launching import backend_of, framework_of, visible_devices
from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.ports import (
    DownloadFailed,
    Launch,
    Listening,
    ModelMissing,
    Process,
    StartFailed,
)


class NotStarted(Exception):
    """Nothing runs; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


async def start(
    machine: Machine, want: Want, directory: Path, downloading: Callable[[], Awaitable[None]]
) -> Process:
    """Returns once the process is there. Raises `NotStarted`."""
    try:
        model = await machine.models.resolve(want.spec, downloading)
        return await _launch(machine, want, directory, model)
    except ModelMissing as error:
        raise _not_started(FailureCause.MODEL_NOT_FOUND, error) from error
    except DownloadFailed as error:
        raise _not_started(FailureCause.DOWNLOAD_FAILED, error) from error
    except (BadParameters, CannotStart, Unsealable) as error:
        raise _not_started(FailureCause.BAD_ARGUMENT, error) from error
    except StartFailed as error:
        raise _not_started(FailureCause.CRASHED, error) from error


def _not_started(cause: FailureCause, error: Exception) -> NotStarted:
    return NotStarted(Failure(cause, str(error), None, None))


async def _launch(machine: Machine, want: Want, directory: Path, model: Path) -> Process:
    backend = unsealed(backend_of(want, model), machine.sealer)
    if backend.backend_name == Backend.LLAMA_CPP and model.suffix != ".gguf":
        raise CannotStart(f"backend: llama.cpp serves .gguf files, and {model} is none")
    installed = await asyncio.to_thread(machine.programs.version, backend)
    asked = want.spec.backend_version
    version = check_installed(backend, asked, installed) if installed else version_wanted(backend, asked)
    host, port = machine.limits.host, free_port(machine.limits.host)
    begin = Start(
        model_path=str(model),
        model_name=want.deployment_name,
        host=host,
        port=port,
        worker_ip=machine.limits.address,
        version=version,
        framework=framework_of(want.claim),
        claim=want.claim,
        python=sys.executable,
        directory=str(directory),
        adapters=adapters_of(want),
        vram_bytes=sum(want.claim.vram_bytes.values()),
    )
    env = machine.sealer.unseal_all(want.spec.env)
    line = command_line(backend, want.spec, begin, env=env, in_container=False)
    launched = Launched(
        backend=backend.backend_name,
        version=version,
        health_path=backend.health_check_path,
        arguments=(*line.injected, *line.given),
        command=machine.programs.command(backend.backend_name, line.shown),
        injected=line.injected,
    )
    reports_itself = "{{report}}" in _template(backend, want)
    launch = Launch(
        directory=directory,
        command=machine.programs.command(backend.backend_name, line.arguments),
        env={**_path(machine, backend), **visible_devices(want.claim), **line.env},
        files={**line.files, LAUNCHED: launched.text()},
        listening=None if reports_itself else Listening(host, port, version or ""),
    )
    return await machine.executor.start(launch)


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


def adapters_of(want: Want) -> tuple[Adapter, ...]:
    """Raises `CannotStart`."""
    found = []
    for adapter in want.spec.lora_list:
        if adapter.source is not Source.LOCAL_PATH or adapter.local_path is None:
            raise CannotStart(f"lora_list: {adapter.lora_name}: give its local_path on the workers")
        if not Path(adapter.local_path).exists():
            raise CannotStart(f"lora_list: {adapter.local_path} is not on this worker")
        found.append(Adapter(f"{want.deployment_name}:{adapter.lora_name}", adapter.local_path))
    return tuple(found)
