"""The command line of a model server: the backend's own command, our flags, the user's behind them."""

import shlex
from collections.abc import Mapping, Sequence

from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.deployments import DeploymentSpec
from modelyard_contracts.parameters import (
    BadParameters,
    flags_of,
    is_flag,
    name_of,
    plain_name,
    split_parameters,
)

from modelyard_backends import kv_cache
from modelyard_backends.dialects import Dialect, dialect_of
from modelyard_backends.placeholders import BadTemplate, fill_command
from modelyard_backends.start import CannotStart, CommandLine, Start
from modelyard_backends.versions import settings_of

Flag = tuple[str, ...]


def command_line(
    backend: InferenceBackend,
    spec: DeploymentSpec,
    start: Start,
    *,
    env: Mapping[str, str],
    in_container: bool,
) -> CommandLine:
    """`env`: the deployment's, in clear. Raises `CannotStart`, `BadParameters`."""
    dialect = dialect_of(backend.backend_name)
    refused = unsupported(backend.backend_name, spec, start.framework)
    if refused is not None:
        raise CannotStart(refused)
    given = user_arguments(backend.backend_name, spec.backend_parameters)
    injection = dialect.inject(spec, start, given)
    ours = [*split_parameters(backend.default_backend_param), *injection.arguments]
    injected = without(ours, given, dialect)
    said = [word for flag in _formatted(backend, [*flags_of(injected), *flags_of(given)]) for word in flag]
    version = settings_of(backend, start.version)
    tail = said if dialect.takes_flags else []

    def whole(variables: Mapping[str, str]) -> tuple[str, ...]:
        if injection.instead:
            return injection.instead
        main = [*_base(backend, spec, start, variables, in_container=in_container), *tail]
        if not injection.first:
            return tuple(main)
        return ("sh", "-c", f"{shlex.join(injection.first)} && exec {shlex.join(main)}")

    return CommandLine(
        arguments=whole(env),
        shown=whole({name: f"{{{{{name}}}}}" for name in env}),
        injected=tuple(injected),
        given=tuple(given),
        env={**backend.default_env, **version.env, **injection.env, **env},
        files=injection.files,
    )


def unsupported(backend: str, spec: DeploymentSpec, framework: str | None = None) -> str | None:
    """What the deployment asks of this backend that it does not have, in one sentence; None if all is well.

    `framework` None where it is not known yet.
    """
    dialect = dialect_of(backend)
    if spec.extended_kv_cache is not None and spec.extended_kv_cache.enabled:
        refused = kv_cache.unsupported(backend, framework)
        if refused is not None:
            return refused
    if spec.lora_list and not dialect.adapters:
        return f"lora_list: {backend} serves no adapters here; vLLM, SGLang and llama.cpp do"
    if spec.speculative_config is not None and spec.speculative_config.enabled and not dialect.speculative:
        return (
            f"speculative_config: {backend} has no speculative decoding here; vLLM, SGLang and llama.cpp do"
        )
    return None


def user_arguments(backend: str, parameters: Sequence[str]) -> list[str]:
    """Raises `BadParameters`, also for a flag that only the worker may set."""
    arguments = split_parameters(parameters)
    reserved = dialect_of(backend).reserved
    for argument in arguments:
        name = plain_name(argument.partition("=")[0])
        if is_flag(argument) and name in reserved:
            raise BadParameters(f"backend_parameters: {name} is set by the worker")
    return arguments


def without(ours: Sequence[str], given: Sequence[str], dialect: Dialect) -> list[str]:
    """Our arguments without those flags that the user gives a value too."""
    said = {_known_as(flag, dialect) for flag in flags_of(given)}
    return [word for flag in flags_of(ours) if _known_as(flag, dialect) not in said for word in flag]


def _known_as(flag: Flag, dialect: Dialect) -> str:
    name = name_of(flag)
    return dialect.aliases.get(name, name)


def _base(
    backend: InferenceBackend,
    spec: DeploymentSpec,
    start: Start,
    env: Mapping[str, str],
    *,
    in_container: bool,
) -> list[str]:
    """Empty for a container that runs its image's own command."""
    version = settings_of(backend, start.version)
    template = spec.run_command or version.run_command
    if template is None and not in_container:
        template = backend.process_command
    template = template or backend.default_run_command
    if template is None:
        if in_container:
            return []
        raise CannotStart(f"run_command: is needed to run {backend.backend_name} as a process")
    try:
        return fill_command(template, values_of(start, env))
    except BadTemplate as error:
        raise CannotStart(f"run_command: {error}") from error


def values_of(start: Start, env: Mapping[str, str]) -> dict[str, str]:
    """What placeholders stand for; a deployment's variables may be used by name too."""
    return {
        **env,
        "model_path": start.model_path,
        "model_name": start.model_name,
        "host": start.host,
        "port": str(start.port),
        "worker_ip": start.worker_ip,
        "gpu_count": str(start.gpu_count),
        "gpu_ids": ",".join(start.gpu_ids),
        "version": start.version or "",
        "python": start.python,
        "report": f"{start.directory}/report.json",
    }


def _formatted(backend: InferenceBackend, flags: Sequence[Flag]) -> list[Flag]:
    """Long flags with one value, put together as the backend wants them. Others stay as they are."""
    match backend.parameter_format:
        case "equal":
            return [_joined(flag) for flag in flags]
        case "space":
            return [_parted(flag) for flag in flags]
        case None:
            return list(flags)


def _joined(flag: Flag) -> Flag:
    if len(flag) == 2 and flag[0].startswith("--") and "=" not in flag[0]:
        return (f"{flag[0]}={flag[1]}",)
    return flag


def _parted(flag: Flag) -> Flag:
    name, equals, value = flag[0].partition("=")
    if len(flag) == 1 and equals and name.startswith("--") and value and not is_flag(value):
        return (name, value)
    return flag
