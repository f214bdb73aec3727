"""How a model is divided over devices: tensor, pipeline, data and expert parallel."""

from dataclasses import dataclass

from modelyard_contracts.parameters import BadParameters

from modelyard_models.flags import Flags
from modelyard_models.layout import Layout
from modelyard_models.quantization import Quantization
from modelyard_models.shape.count import Role
from modelyard_models.shape.layers import Attention, Experts, LinearAttention, Shape, counted

VOCABULARY_BLOCK = 64
"""Embeddings are padded to a multiple of it."""


@dataclass(frozen=True, slots=True)
class Parallel:
    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: int = 1
    """Over how many devices experts are divided."""
    has_whole_experts: bool = False
    """Each expert is on one device (expert parallel), else every device has a slice of each."""
    attention_tensor: int = 1
    """Over how many devices attention is divided: fewer than `tensor` with data-parallel attention."""

    @property
    def expert_slices(self) -> int:
        """Into how many parts each expert is cut."""
        return 1 if self.has_whole_experts else max(self.expert, self.tensor)

    @property
    def world(self) -> int:
        """Devices in all."""
        return self.tensor * self.pipeline * self.data

    def stage(self, rank: int) -> int:
        """The pipeline stage of a device: tensor ranks are neighbours, stages come before copies."""
        return rank // self.tensor % self.pipeline


@dataclass(frozen=True, slots=True)
class FlagNames:
    """What a backend calls the sizes."""

    tensor: tuple[str, ...]
    pipeline: tuple[str, ...]
    data: tuple[str, ...]


def parallel_of(
    flags: Flags, names: FlagNames, layout: Layout, shape: Shape | None, data: int | None = None
) -> Parallel:
    """From the flags; what they leave open follows from the devices: tensor parallel within a worker, stages
    over workers. `data`: the copies on this layout, where the flag counts others too.

    Raises `BadParameters`."""
    devices = len(layout.devices()) or 1
    data = data or flags.whole(*names.data) or 1
    pipeline = flags.whole(*names.pipeline)
    tensor = flags.whole(*names.tensor)
    if tensor is None:
        each = max(1, devices // data)
        if pipeline is None:
            pipeline = _stages_of(layout, each)
        tensor = max(1, each // pipeline)
    elif pipeline is None:
        spread = devices // (tensor * data)
        pipeline = spread if len(layout.workers) > 1 and spread > 1 else 1
    found = Parallel(tensor, pipeline, data, expert=tensor, attention_tensor=tensor)
    if layout.devices() and found.world > devices:
        sizes = f"{tensor} x {pipeline} x {data}"
        raise BadParameters(f"{names.tensor[0]}: {sizes} devices are wanted, and there are {devices}")
    if shape is not None:
        if reason := indivisible(shape, tensor):
            raise BadParameters(f"{names.tensor[0]}: {reason}")
        if pipeline > len(shape.layers):
            raise BadParameters(f"{names.pipeline[0]}: {pipeline} stages for {len(shape.layers)} layers")
    return found


def _stages_of(layout: Layout, devices: int) -> int:
    """A stage for each worker; for each device where workers have unequally many."""
    workers = len(layout.workers)
    if len({len(worker.devices) for worker in layout.workers}) > 1:
        return devices
    return workers if devices % workers == 0 else 1


def indivisible(shape: Shape, tensor: int) -> str | None:
    """Why a model cannot be divided over so many devices; None if it can."""
    for layer, _ in counted(shape.layers):
        mixer = layer.mixer
        if mixer is None:
            continue
        heads = mixer.value_heads if isinstance(mixer, LinearAttention) else mixer.heads
        if heads % tensor:
            return f"{heads} attention heads cannot be divided by {tensor}"
        if isinstance(mixer, Attention) and mixer.kv_heads % tensor and tensor % mixer.kv_heads:
            return f"{mixer.kv_heads} KV heads and {tensor} devices do not divide each other"
    padded = -(-shape.vocabulary // VOCABULARY_BLOCK) * VOCABULARY_BLOCK
    return f"a vocabulary of {padded} cannot be divided by {tensor}" if padded % tensor else None


def splits_blocks(shape: Shape, quantization: Quantization | None, parallel: Parallel) -> str | None:
    """Why a quantised model cannot be divided so: a device's share of a width must hold whole blocks."""
    if quantization is None or quantization.block is None or parallel.tensor == 1:
        return None
    for layer, _ in counted(shape.layers):
        for one in layer.feed_forward:
            role = Role.EXPERTS if isinstance(one, Experts) else Role.DENSE
            if role not in quantization.roles or (role is Role.EXPERTS and parallel.has_whole_experts):
                continue
            parts = parallel.expert_slices if role is Role.EXPERTS else parallel.tensor
            if one.width % parts or one.width // parts % quantization.block:
                share = f"{one.width} / {parts}"
                way = ", or divide experts whole" if role is Role.EXPERTS else ""
                return (
                    f"{share} of a feed-forward is no multiple of the {quantization.block} that are "
                    f"quantised together: use fewer devices for each copy{way}"
                )
    return None


def tensor_sizes(shape: Shape, largest: int) -> tuple[int, ...]:
    """Powers of two up to `largest` that a model can be divided by."""
    powers = (1 << power for power in range(largest.bit_length()))
    return tuple(size for size in powers if size <= largest and indivisible(shape, size) is None)


def stages(layers: int, count: int) -> tuple[range, ...]:
    """Which layers each stage holds. What remains goes to stages before the last, as vLLM does it."""
    sizes = [layers // count] * count
    for at in range(layers % count):
        sizes[-(at % count) - 2 if count > 1 else 0] += 1
    starts = [sum(sizes[:at]) for at in range(count)]
    return tuple(range(start, start + size) for start, size in zip(starts, sizes, strict=True))
