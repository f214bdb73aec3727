"""What a model needs of memory, part by part."""

from enum import StrEnum

from modelyard_contracts.base import Contract


class Confidence(StrEnum):
    """How far an estimate can be trusted, and so how large its margin is."""

    EXACT = "exact"
    """The backend's own planner would say the same."""
    HIGH = "high"
    """A formula that was checked against measurements of this kind of model and backend."""
    MEDIUM = "medium"
    """A formula whose coefficients were measured on other kinds."""
    LOW = "low"
    """A safe guess: the architecture or backend is not known."""


class Part(Contract):
    name: str
    """`weights`, `kv_cache`, `compute`, `activation`, `graphs`, `context`, `adapters`, `draft`, ..."""
    bytes: int
    note: str = ""


class DeviceNeed(Contract):
    """Of one device, by its rank in the layout."""

    rank: int
    parts: tuple[Part, ...]
    margin_bytes: int = 0
    claim_bytes: int
    """What the backend will take: a fraction of the card for vLLM and SGLang, else what is needed."""
    beside_bytes: int = 0
    """What it takes beside that, in the rest of the card: the runtime's context, and what its share does not
    count."""
    kv_bytes_per_token: float = 0.0
    """Of this device; copies of what cannot be divided count on each."""

    @property
    def needed_bytes(self) -> int:
        """Parts and margin: less than this is known not to work."""
        return sum(part.bytes for part in self.parts) + self.margin_bytes


class HostNeed(Contract):
    """Of the main memory of one worker, by its position in the layout."""

    worker: int
    parts: tuple[Part, ...]
    margin_bytes: int = 0

    @property
    def needed_bytes(self) -> int:
        return sum(part.bytes for part in self.parts) + self.margin_bytes


class MemoryNeed(Contract):
    backend: str
    backend_version: str
    confidence: Confidence
    devices: tuple[DeviceNeed, ...]
    hosts: tuple[HostNeed, ...]
    context_tokens: int
    """The length of one sequence that the estimate provides for; 0 where it has no meaning."""
    kv_bytes_per_token: float = 0.0
    """Of the whole model, each layer once: what one more token costs a long sequence."""
    fraction: float | None = None
    """The share of each card that the backend takes, where it takes a share."""
    fits: bool
    """Whether every device of the layout is large enough."""
    largest_context: int | None = None
    """The longest sequence that fits on this layout."""
    cache_tokens: int | None = None
    """How many tokens of KV cache fit on this layout."""
    concurrency: float | None = None
    """How many sequences of `context_tokens` fit at once."""
    total_layers: int | None = None
    offloaded_layers: int | None = None
    notes: tuple[str, ...] = ()
    """For people: what was assumed, and what would change it."""
