"""LoRA adapters and draft models: what runs along with a model and takes memory of its devices."""

from modelyard_contracts.models import ModelFacts

from modelyard_models.flags import Flags
from modelyard_models.model import LoadedModel
from modelyard_models.parallel import Parallel, stages
from modelyard_models.shape.layers import Attention, Dense, Experts, LatentAttention, Layer, counted
from modelyard_models.shape.reading import integer

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM has room for."""
DEFAULT_RANK = 16


def adapter_bytes(
    model: LoadedModel, parallel: Parallel, stage: int, adapters: tuple[ModelFacts, ...], flags: Flags
) -> float:
    """Slots for adapters on one device: two matrices beside every projection, as wide as the rank.

    vLLM makes room for all projections, whichever an adapter changes, and does not divide the first matrix.
    """
    if not adapters and not flags.has("--enable-lora"):
        return 0.0
    slots = flags.whole("--max-loras", "--max-loras-per-batch") or max(1, len(adapters))
    rank = flags.whole("--max-lora-rank") or _rank_of(adapters)
    held = stages(len(model.shape.layers), parallel.pipeline)[stage]
    wide = 0.0
    for layer, count in counted(model.shape.layers[at] for at in held):
        for into, out in _projections(layer, model.shape.hidden):
            wide += count * (into + out / parallel.tensor)
    return slots * rank * wide * 2


def _rank_of(adapters: tuple[ModelFacts, ...]) -> int:
    ranks = [integer(one.config or {}, "r", "rank") or DEFAULT_RANK for one in adapters]
    largest = max(ranks, default=DEFAULT_RANK)
    return next((rank for rank in RANKS if rank >= largest), largest)


def _projections(layer: Layer, hidden: int) -> list[tuple[int, int]]:
    """Inputs and outputs of each projection that can be adapted."""
    found: list[tuple[int, int]] = []
    match layer.mixer:
        case Attention() as one:
            cached = one.kv_heads * (one.head_dim + one.value_dim)
            found += [
                (hidden, one.heads * one.head_dim),
                (hidden, cached),
                (one.heads * one.value_dim, hidden),
            ]
        case LatentAttention() as one:
            wide = one.heads * (one.nope_dim + one.rope_dim)
            found += [(one.query_rank or hidden, wide), (one.heads * one.value_dim, hidden)]
        case _:
            pass
    for block in layer.feed_forward:
        if isinstance(block, Dense):
            found += [(hidden, 2 * block.width), (block.width, hidden)]
        elif isinstance(block, Experts):
            each = [(hidden, 2 * block.width), (block.width, hidden)]
            found += each * block.count
    return found
