"""Everything that a model server reads from this machine's disk, fetched first where it is not there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard_backends.start import Adapter, CannotStart
from modelyard_contracts.companions import adapter_at, draft_at
from modelyard_contracts.deployments import HUB_TOKEN_VARIABLES, DeploymentSpec, LoraAdapter, Source
from modelyard_contracts.messages import Want
from modelyard_contracts.models import ModelCoordinates, coordinates_of

from modelyard_worker_agent.adapters.local_models import adapter_rank, projector_beside
from modelyard_worker_agent.ports import DownloadFailed, ModelMissing, Models


@dataclass(frozen=True, slots=True)
class Files:
    model: Path
    projector: Path | None = None
    adapters: tuple[Adapter, ...] = ()
    draft: Path | None = None


async def files_of(
    models: Models, want: Want, env: Mapping[str, str], downloading: Callable[[], Awaitable[None]]
) -> Files:
    """`env`: the deployment's, in clear. Raises `ModelMissing`, `DownloadFailed`, `CannotStart`."""
    spec = want.spec
    draft = draft_at(spec)
    wanted = [("", coordinates_of(spec)), *(_adapter(spec, adapter) for adapter in spec.lora_list)]
    if draft is not None:
        wanted.append(("speculative_config.draft_model: ", draft))

    async def find(field: str, at: ModelCoordinates) -> Path:
        try:
            return await models.resolve(at, downloading, env.get(HUB_TOKEN_VARIABLES.get(at.source, "")))
        except (ModelMissing, DownloadFailed) as error:
            raise type(error)(f"{field}{error}") from error

    try:
        async with asyncio.TaskGroup() as group:
            finding = [group.create_task(find(field, at)) for field, at in wanted]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    model, *beside = [found.result() for found in finding]
    return await asyncio.to_thread(_files, want, model, beside, draft is not None)


def _files(want: Want, model: Path, beside: Sequence[Path], has_draft: bool) -> Files:
    """`beside`: the adapters, then the draft model."""
    adapters = zip(want.spec.lora_list, beside, strict=False)
    return Files(
        model=model,
        projector=projector_beside(model) if model.suffix == ".gguf" else None,
        adapters=tuple(
            Adapter(f"{want.deployment_name}:{one.lora_name}", str(path), adapter_rank(path))
            for one, path in adapters
        ),
        draft=beside[-1] if has_draft else None,
    )


def _adapter(spec: DeploymentSpec, adapter: LoraAdapter) -> tuple[str, ModelCoordinates]:
    """What to say before what is wrong with it, and where it is. Raises `CannotStart`."""
    at = adapter_at(spec, adapter)
    if at is None:
        field = "local_path" if adapter.source is Source.LOCAL_PATH else "lora_repo_name"
        raise CannotStart(f"lora_list: {adapter.lora_name}: {field} is needed")
    return f"lora_list: {adapter.lora_name}: ", at
