"""What an operator may say about a deployment, in the field names their scripts already use."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from modelyard_contracts.base import Contract


class Source(StrEnum):
    HUGGINGFACE = "huggingface"
    MODEL_SCOPE = "model_scope"
    LOCAL_PATH = "local_path"


HUB_TOKEN_VARIABLES = {Source.HUGGINGFACE: "HF_TOKEN", Source.MODEL_SCOPE: "MODELSCOPE_API_TOKEN"}
"""What the hubs' own clients read a token from."""


class PlacementStrategy(StrEnum):
    SPREAD = "spread"
    BINPACK = "binpack"


class Backend(StrEnum):
    """The built-in inference backends. Operators may define more, whose names end in `-custom`."""

    VLLM = "vLLM"
    SGLANG = "SGLang"
    MINDIE = "MindIE"
    VOXBOX = "VoxBox"
    LLAMA_CPP = "llama.cpp"
    CUSTOM = "Custom"
    """An image and a command of the deployment's own."""


class Category(StrEnum):
    LLM = "llm"
    EMBEDDING = "embedding"
    RERANKER = "reranker"
    IMAGE = "image"
    SPEECH_TO_TEXT = "speech_to_text"
    TEXT_TO_SPEECH = "text_to_speech"
    UNKNOWN = "unknown"


class GpuSelector(Contract):
    """GPUs chosen by hand, as `worker:type:index`, and how many of them each replica uses."""

    gpu_ids: tuple[str, ...] = ()
    gpus_per_replica: Annotated[int, Field(ge=1)] | None = None


class ExtendedKVCache(Contract):
    """KV cache that spills to main memory or a remote store, by LMCache."""

    enabled: bool = False
    ram_ratio: Annotated[float, Field(gt=0)] = 1.2
    """Main memory per byte of VRAM claimed."""
    ram_size: Annotated[int, Field(ge=0)] | None = None
    """GiB; beats the ratio."""
    chunk_size: Annotated[int, Field(gt=0)] | None = None
    """Tokens."""
    remote_url: str | None = None


class SpeculativeConfig(Contract):
    enabled: bool = False
    algorithm: Literal["eagle3", "mtp", "ngram"] | None = None
    draft_model: str | None = None
    num_draft_tokens: Annotated[int, Field(gt=0)] | None = None
    ngram_min_match_length: Annotated[int, Field(gt=0)] | None = None
    ngram_max_match_length: Annotated[int, Field(gt=0)] | None = None


class LoraAdapter(Contract):
    """An adapter served beside its base model, as `<deployment>:<lora_name>`."""

    lora_name: str
    source: Source = Source.HUGGINGFACE
    lora_repo_name: str | None = None
    local_path: str | None = None


class LabelExpression(Contract):
    """What a worker's label must be, beyond being equal to a value."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class DeploymentSpec(Contract):
    """Everything that decides how an instance runs. An instance keeps the spec it was created with.

    `env` holds sealed values in every event and message (`modelyard_runtime.secrets`): the api and the
    agent that starts the backend can open them, and the scheduler, which opens a hub's token alone.
    """

    description: str | None = None
    source: Source
    huggingface_repo_id: str | None = None
    huggingface_filename: str | None = None
    """A file or a glob of the repository."""
    model_scope_model_id: str | None = None
    model_scope_file_path: str | None = None
    local_path: str | None = None
    revision: str | None = None
    categories: tuple[Category, ...] = ()
    """Empty: detected from the model's metadata."""
    placement_strategy: PlacementStrategy = PlacementStrategy.SPREAD
    worker_selector: dict[str, str] = {}
    worker_selector_expressions: tuple[LabelExpression, ...] = ()
    gpu_selector: GpuSelector | None = None
    force: bool = False
    """Place on GPUs chosen by hand even if the room does not suffice."""
    cpu_offloading: bool = False
    distributed_inference_across_workers: bool | None = None
    """None: true where the backend can."""
    backend: str | None = None
    """A `Backend` or an operator's own; None: what suits the model."""
    backend_version: str | None = None
    backend_parameters: tuple[str, ...] = ()
    image_name: str | None = None
    run_command: str | None = None
    env: dict[str, str] = {}
    restart_on_error: bool = True
    extended_kv_cache: ExtendedKVCache | None = None
    speculative_config: SpeculativeConfig | None = None
    lora_list: tuple[LoraAdapter, ...] = ()
    generic_proxy: bool = False

    def location(self) -> str:
        """The model's address as a person would say it."""
        match self.source:
            case Source.LOCAL_PATH:
                return self.local_path or ""
            case Source.HUGGINGFACE:
                parts = (self.huggingface_repo_id, self.huggingface_filename)
            case Source.MODEL_SCOPE:
                parts = (self.model_scope_model_id, self.model_scope_file_path)
        return "/".join(part for part in parts if part)


class Claim(Contract):
    """What an instance takes of one worker. `vram_bytes` is keyed by device, as in `cuda:0`."""

    ram_bytes: Annotated[int, Field(ge=0)] = 0
    vram_bytes: dict[str, Annotated[int, Field(ge=0)]] = {}
    is_unified_memory: bool = False
    """Its devices have no memory of their own: VRAM and RAM are taken of the same memory."""
    fraction: float | None = None
    """The share of each card that the backend takes, where it takes a share."""
    total_layers: int | None = None
    offload_layers: int | None = None
    """Of `total_layers`, those on devices; None where the backend knows no offloading."""
    tensor_split: tuple[float, ...] = ()
    """How the layers are shared out over the devices, in their order; empty: as the backend likes."""
    context_tokens: int | None = None
    """The length of one sequence that is provided for."""
    beside_bytes: dict[str, Annotated[int, Field(ge=0)]] = {}
    """What it holds of devices beside `vram_bytes`: the context of its runtime, and what a share of the card
    does not count."""

    def held_bytes(self, device: str) -> int:
        """All that nobody else can have of a device."""
        return self.vram_bytes.get(device, 0) + self.beside_bytes.get(device, 0)

    def devices(self) -> tuple[str, ...]:
        """By type, then by index."""
        return tuple(sorted(self.vram_bytes, key=_device_order))


def _device_order(device: str) -> tuple[str, int]:
    device_type, _, index = device.rpartition(":")
    return device_type, int(index)


class Subordinate(Contract):
    """A worker beside the primary one, of an instance that runs on several."""

    worker_id: int
    worker_name: str
    claim: Claim


class Reason(Contract):
    """Why one worker or device (or none at all) cannot take an instance: the first check that failed there.

    Numbers are bytes where the check is about memory, else counts.
    """

    worker: str | None = None
    device: str | None = None
    """As in `cuda:0`; None where the whole worker is meant."""
    check: str
    needed: int | str | None = None
    available: int | str | None = None
    message: str


class Members(Contract):
    """Devices (as in `cuda:0`) of some workers; the workers themselves where no device is named."""

    devices: tuple[str, ...] = ()
    workers: tuple[tuple[int, int], ...]
    """By id: first and last of each unbroken run."""


class Alike(Contract):
    """Workers and devices of which the same is to be said of an instance, each as if its worker were the only
    one. Where too many differ, those of a check are told together, from the least to the most."""

    check: str | None = None
    """The first that fails there; None: nothing stands against them."""
    needed: int | str | None = None
    available: int | str | None = None
    """Where `available_most` is set, the least; None where it differs from worker to worker."""
    available_most: int | None = None
    score: float | None = None
    """None of what fits: it has room, but its worker has not enough of the like."""
    score_most: float | None = None
    parts: dict[str, float] = {}
    """Of the score; empty where it is told from the least to the most."""
    members: tuple[Members, ...]


class Candidate(Contract):
    """A place that an instance could take, and how good it is: the higher the better, part by part."""

    worker: str
    devices: tuple[str, ...] = ()
    score: float
    parts: dict[str, float] = {}
