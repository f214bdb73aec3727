"""What an operator may say about a deployment, in the field names their scripts already use."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelyard_contracts.base import Contract


class Source(StrEnum):
    HUGGINGFACE = "huggingface"
    MODEL_SCOPE = "model_scope"
    LOCAL_PATH = "local_path"


class PlacementStrategy(StrEnum):
    SPREAD = "spread"
    BINPACK = "binpack"


class Backend(StrEnum):
    """The inference backends that can be named today."""

    LLAMA_CPP = "llama.cpp"


class Category(StrEnum):
    LLM = "llm"
    EMBEDDING = "embedding"
    RERANKER = "reranker"
    IMAGE = "image"
    SPEECH_TO_TEXT = "speech_to_text"
    TEXT_TO_SPEECH = "text_to_speech"
    UNKNOWN = "unknown"


class DeploymentSpec(Contract):
    """Everything that decides how an instance runs. An instance keeps the spec it was created with.

    `env` holds sealed values in every event and message (`modelyard_runtime.secrets`): only the api and
    the agent that starts the backend can open them.
    """

    description: str | None = None
    source: Source
    huggingface_repo_id: str | None = None
    huggingface_filename: str | None = None
    local_path: str | None = None
    categories: tuple[Category, ...] = ()
    placement_strategy: PlacementStrategy = PlacementStrategy.SPREAD
    worker_selector: dict[str, str] = {}
    backend: Backend = Backend.LLAMA_CPP
    backend_parameters: tuple[str, ...] = ()
    env: dict[str, str] = {}
    restart_on_error: bool = True
    generic_proxy: bool = False

    def location(self) -> str:
        """The model's address as a person would say it."""
        if self.source is Source.LOCAL_PATH:
            return self.local_path or ""
        return "/".join(part for part in (self.huggingface_repo_id, self.huggingface_filename) if part)


class Claim(Contract):
    """What an instance takes of its worker. `vram_bytes` is keyed by device, as in `cuda:0`."""

    ram_bytes: Annotated[int, Field(ge=0)] = 0
    vram_bytes: dict[str, int] = {}


class Reason(Contract):
    """Why one worker (or none at all) cannot take an instance: the first check that failed there."""

    worker: str | None = None
    check: str
    needed: str | None = None
    available: str | None = None
    message: str
