"""What callers may ask for over REST, in the field names their scripts already use.

An update changes the fields that are present and leaves the others as they are.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from modelyard_contracts.access import EVERY_SCOPE, NO_LIMITS, RateLimits, Scope
from modelyard_contracts.backends import BackendVersion, CommandTemplate, Images, UrlPath
from modelyard_contracts.deployments import (
    Backend,
    Category,
    ExtendedKVCache,
    GpuSelector,
    LabelExpression,
    LoraAdapter,
    PlacementStrategy,
    Source,
    SpeculativeConfig,
)

DEPLOYMENT_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
BACKEND_NAME = r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,126}$"
GPU_ID = re.compile(r"^.+:[a-z]+:\d+$")
ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
MAX_REPLICAS = 10_000

DeploymentName = Annotated[str, StringConstraints(pattern=DEPLOYMENT_NAME)]
PlainName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]
Text = Annotated[str, StringConstraints(max_length=4096)]
Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS, strict=True)]


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\x00" in path or ".." in path.split("/"):
        raise ValueError("must be an absolute path on the workers, without '..'")
    return path


def _environment(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if not ENV_NAME.match(name):
            raise ValueError(f"{name!r} is not a name of an environment variable")
        if "\x00" in value:
            raise ValueError(f"the value of {name} holds a NUL byte")
    return env


def _backend(name: str) -> str:
    known = [backend.value for backend in Backend]
    if name not in known and not name.endswith("-custom"):
        raise ValueError(f"is not one of {', '.join(known)}, nor a name that ends in '-custom'")
    return name


def _gpu_selector(selector: GpuSelector) -> GpuSelector:
    for gpu_id in selector.gpu_ids:
        if not GPU_ID.match(gpu_id):
            raise ValueError(f"gpu_ids: {gpu_id!r} is not like worker:type:index, as in a:cuda:0")
        if selector.gpu_ids.count(gpu_id) > 1:
            raise ValueError(f"gpu_ids: {gpu_id!r} is there twice")
    return selector


RepositoryName = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$", max_length=256)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=512)]
BackendName = Annotated[str, StringConstraints(max_length=128), AfterValidator(_backend)]
AbsolutePath = Annotated[str, StringConstraints(max_length=4096), AfterValidator(_absolute)]
Environment = Annotated[dict[str, str], AfterValidator(_environment)]
Labels = dict[
    Annotated[str, StringConstraints(min_length=1, max_length=63)],
    Annotated[str, StringConstraints(max_length=63)],
]


def holds_nul(value: object) -> bool:
    """Whether a text in it does, which Postgres could not keep."""
    if isinstance(value, Mapping):
        return any(holds_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return any(map(holds_nul, value))
    return isinstance(value, str) and "\x00" in value


class Command(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _holds_no_nul(cls, said: Any) -> Any:
        for name, value in said.items() if isinstance(said, Mapping) else ():
            if holds_nul(value):
                raise ValueError(f"{name}: holds a NUL character")
        return said


class DeploymentFields(Command):
    """What create and update share. None means: not said."""

    description: Text | None = None
    source: Source | None = None
    huggingface_repo_id: RepositoryName | None = None
    huggingface_filename: FileName | None = None
    model_scope_model_id: RepositoryName | None = None
    model_scope_file_path: FileName | None = None
    local_path: AbsolutePath | None = None
    revision: FileName | None = None
    categories: list[Category] | None = None
    placement_strategy: PlacementStrategy | None = None
    worker_selector: Labels | None = None
    worker_selector_expressions: list[LabelExpression] | None = None
    gpu_selector: Annotated[GpuSelector, AfterValidator(_gpu_selector)] | None = None
    force: bool | None = None
    cpu_offloading: bool | None = None
    distributed_inference_across_workers: bool | None = None
    backend: BackendName | None = None
    backend_version: FileName | None = None
    backend_parameters: list[Text] | None = None
    image_name: FileName | None = None
    run_command: Text | None = None
    extended_kv_cache: ExtendedKVCache | None = None
    speculative_config: SpeculativeConfig | None = None
    lora_list: list[LoraAdapter] | None = None
    env: Environment | None = None
    restart_on_error: bool | None = None
    generic_proxy: bool | None = None
    replicas: Replicas | None = None


class DeploymentCreate(DeploymentFields):
    name: DeploymentName
    source: Source
    cluster_id: Annotated[int, Field(strict=True)] | None = None

    @model_validator(mode="after")
    def _needs_its_source(self) -> Self:
        check_source(self.source, self.local_path, self.huggingface_repo_id, self.model_scope_model_id)
        return self


class DeploymentUpdate(DeploymentFields):
    name: DeploymentName | None = None


def check_source(
    source: Source,
    local_path: str | None,
    huggingface_repo_id: str | None,
    model_scope_model_id: str | None,
) -> None:
    """Raises ValueError naming the field that the source needs."""
    match source:
        case Source.LOCAL_PATH if not local_path:
            raise ValueError("local_path: is required for source local_path")
        case Source.HUGGINGFACE if not huggingface_repo_id:
            raise ValueError("huggingface_repo_id: is required for source huggingface")
        case Source.MODEL_SCOPE if not model_scope_model_id:
            raise ValueError("model_scope_model_id: is required for source model_scope")
        case _:
            return


class Maintenance(Command):
    enabled: bool
    message: Text | None = None
    drain: bool = False
    """Move what is on the worker elsewhere."""


class WorkerUpdate(Command):
    labels: Labels | None = None
    maintenance: Maintenance | None = None


class BackendFields(Command):
    """What an operator may say of an inference backend, in the names of its definition. None: not said."""

    backend_name: Annotated[str, StringConstraints(pattern=BACKEND_NAME)] | None = None
    version_configs: dict[FileName, BackendVersion] | None = None
    default_version: FileName | None = None
    images: Images | None = None
    default_run_command: CommandTemplate | None = None
    default_entrypoint: CommandTemplate | None = None
    process_command: CommandTemplate | None = None
    version_command: CommandTemplate | None = None
    default_backend_param: list[Text] | None = None
    default_env: Environment | None = None
    health_check_path: UrlPath | None = None
    parameter_format: Literal["space", "equal"] | None = None
    common_parameters: list[Text] | None = None
    container_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    description: Text | None = None
    icon: Text | None = None
    enabled: bool | None = None


class ModelFileCreate(Command):
    """A model to be fetched to a worker before any instance needs it."""

    worker_id: Annotated[int, Field(strict=True)]
    source: Source
    huggingface_repo_id: RepositoryName | None = None
    huggingface_filename: FileName | None = None
    model_scope_model_id: RepositoryName | None = None
    model_scope_file_path: FileName | None = None
    revision: FileName | None = None

    @model_validator(mode="after")
    def _needs_its_source(self) -> Self:
        if self.source is Source.LOCAL_PATH:
            raise ValueError(
                "source: what lies on a worker already is not fetched: huggingface or model_scope"
            )
        check_source(self.source, None, self.huggingface_repo_id, self.model_scope_model_id)
        return self


class ClusterCreate(Command):
    name: PlainName
    description: Text | None = None


Password = Annotated[str, StringConstraints(min_length=8, max_length=256)]


class UserCreate(Command):
    username: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    password: Password
    full_name: Text | None = None
    is_admin: bool = False


class PasswordChange(Command):
    current_password: str
    new_password: Password


class HubTokenChange(Command):
    token: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+$", max_length=512)]


def _every_scope(scope: object) -> object:
    return EVERY_SCOPE if scope == ["*"] else scope


KeyScope = Annotated[tuple[Scope, ...], BeforeValidator(_every_scope), Field(min_length=1)]
"""`"*"` stands for all of them."""


class ApiKeyCreate(Command):
    name: PlainName
    description: Text | None = None
    expires_in: Annotated[int, Field(ge=0, le=10 * 366 * 24 * 3600)] | None = None
    """Seconds from now; null or 0 means never."""
    allowed_model_names: list[PlainName] | None = None
    scope: KeyScope = EVERY_SCOPE
    limits: RateLimits = NO_LIMITS


class ApiKeyUpdate(Command):
    """Changes the fields that are present."""

    description: Text = ""
    allowed_model_names: list[PlainName] | None = None
    scope: KeyScope = EVERY_SCOPE


class Login(Command):
    username: str
    password: str


class LoginAnswer(Command):
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the word, not a secret
    expires_in: int
