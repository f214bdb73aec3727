"""What an inference backend is: data, the same for those that are built in and those of an operator."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from modelyard_contracts.base import Contract

FRAMEWORKS = ("cuda", "rocm", "cann", "mps", "musa", "cpu")
PLACEHOLDERS = ("model_path", "port", "model_name", "worker_ip", "gpu_count", "gpu_ids", "host")
CUSTOM_SUFFIX = "-custom"


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("must begin with '/'")
    return path


def _frameworks(images: dict[str, str]) -> dict[str, str]:
    for framework in images:
        if framework not in FRAMEWORKS:
            raise ValueError(f"{framework!r} is none of {', '.join(FRAMEWORKS)}")
    return images


Image = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^\S+$")]
CommandTemplate = Annotated[str, StringConstraints(min_length=1, max_length=8192)]
UrlPath = Annotated[str, StringConstraints(max_length=512), AfterValidator(_path)]
Images = Annotated[dict[str, Image], AfterValidator(_frameworks)]


class BackendVersion(Contract):
    """One version of a backend. What it does not say, its backend says."""

    image_name: Image | None = None
    """For every framework that `images` does not name."""
    images: Images = {}
    """By framework, as in `{"cuda": ..., "rocm": ...}`."""
    run_command: CommandTemplate | None = None
    entrypoint: CommandTemplate | None = None
    built_in_frameworks: tuple[str, ...] = ()
    custom_framework: str | None = None
    env: dict[str, str] = {}


class InferenceBackend(Contract):
    """How a kind of model server is started and looked after.

    Commands hold the placeholders `{{model_path}}`, `{{port}}`, `{{model_name}}`, `{{worker_ip}}`,
    `{{gpu_count}}`, `{{gpu_ids}}`, `{{host}}` and, in images, `{{version}}`.
    """

    backend_name: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    version_configs: dict[str, BackendVersion] = {}
    """Versions that differ from what is said below; others run as well."""
    default_version: str | None = None
    """None: what the machine has."""
    images: Images = {}
    """By framework, with `{{version}}` where the tag has it."""
    default_run_command: CommandTemplate | None = None
    default_entrypoint: CommandTemplate | None = None
    process_command: CommandTemplate | None = None
    """Outside containers, where that differs from the run command."""
    version_command: CommandTemplate | None = None
    """Outside containers: says the installed version in its last word."""
    default_backend_param: tuple[str, ...] = ()
    """Come first, so that a deployment's parameters win."""
    default_env: dict[str, str] = {}
    health_check_path: UrlPath | None = None
    """None: it is healthy when it answers anything at all."""
    parameter_format: Literal["space", "equal"] | None = None
    """How flags and values are put together; None: as they were written."""
    common_parameters: tuple[str, ...] = ()
    """For people to choose from."""
    container_port: Annotated[int, Field(ge=1, le=65535)] = 8000
    description: str | None = None
    icon: str | None = None
    enabled: bool = True
