"""llama-server's flags, as far as they decide about memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from modelyard_contracts.parameters import BadParameters, value_of

DEFAULT_CONTEXT = 4096
DEFAULT_BATCH = 2048
DEFAULT_UBATCH = 512
AUTO_PARALLEL = 4
PADDING = 256
CACHE_TYPES = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
}
"""Elements and bytes of a block."""
ON = ("on", "1", "true", "enabled", "")
OFF = ("off", "0", "false", "disabled")
ALL_LAYERS = 1 << 16

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Flags:
    context: int
    """Of all slots together, in tokens, as asked for."""
    parallel: int
    unified: bool
    batch: int
    ubatch: int
    gpu_layers: int
    cpu_moe_layers: int
    """The experts of so many of the first layers stay in main memory."""
    split: tuple[float, ...]
    split_mode: str
    main_gpu: int
    cache_type_k: str
    cache_type_v: str
    flash_attention: bool
    flash_auto: bool
    """It may be turned off where a device does not know it."""
    swa_full: bool
    kv_offload: bool
    op_offload: bool
    repack: bool
    mmap: bool
    embedding: bool
    cache_ram_bytes: int | None
    """For prompts that may come again; None: llama-server's own choice."""
    projector_offload: bool
    draft_context: int | None
    draft_gpu_layers: int

    @property
    def context_per_sequence(self) -> int:
        """Cells of one stream of the cache."""
        if self.unified:
            return _padded(self.context)
        return _padded(_padded(self.context) // self.parallel)

    @property
    def streams(self) -> int:
        return 1 if self.unified else self.parallel


def flags_of(arguments: Sequence[str], context_length: int) -> Flags:
    """`context_length` is what the model was trained for: what `--ctx-size 0` asks for.

    What is not said is as our launcher starts llama.cpp: 4,096 tokens, one slot. Raises `BadParameters`.
    """
    reader = _Reader(arguments)
    context = reader.number(DEFAULT_CONTEXT, "--ctx-size", "-c")
    parallel = reader.number(1, "--parallel", "-np", least=-1)
    is_auto = parallel < 1
    flash = reader.choice("auto", ("auto", *ON, *OFF), "--flash-attn", "-fa")
    embedding = reader.has("--embedding", "--embeddings", "--reranking", "--rerank")
    batch = reader.number(DEFAULT_BATCH, "--batch-size", "-b", least=1)
    return Flags(
        context=context or context_length or DEFAULT_CONTEXT,
        parallel=AUTO_PARALLEL if is_auto else parallel,
        unified=is_auto or reader.switch("--kv-unified", "-kvu", otherwise=False, no="--no-kv-unified"),
        batch=batch,
        ubatch=min(batch, reader.number(DEFAULT_UBATCH, "--ubatch-size", "-ub", least=0) or batch),
        gpu_layers=reader.layers("--n-gpu-layers", "--gpu-layers", "-ngl"),
        cpu_moe_layers=ALL_LAYERS
        if reader.has("--cpu-moe", "-cmoe")
        else reader.number(0, "--n-cpu-moe", "-ncmoe"),
        split=reader.split("--tensor-split", "-ts"),
        split_mode=reader.choice("layer", ("none", "layer", "row", "tensor"), "--split-mode", "-sm"),
        main_gpu=reader.number(0, "--main-gpu", "-mg"),
        cache_type_k=reader.choice("f16", tuple(CACHE_TYPES), "--cache-type-k", "-ctk"),
        cache_type_v=reader.choice("f16", tuple(CACHE_TYPES), "--cache-type-v", "-ctv"),
        flash_attention=flash not in OFF,
        flash_auto=flash == "auto",
        swa_full=reader.has("--swa-full"),
        kv_offload=reader.switch(
            "--kv-offload", "-kvo", otherwise=True, no="--no-kv-offload", short_no="-nkvo"
        ),
        op_offload=reader.switch("--op-offload", otherwise=True, no="--no-op-offload"),
        repack=reader.switch("--repack", otherwise=True, no="--no-repack", short_no="-nr"),
        mmap=reader.choice("mmap", ("auto", "mmap", "none", "mlock"), "--load-mode", "-lm") != "none"
        and not reader.has("--no-mmap"),
        embedding=embedding,
        cache_ram_bytes=reader.mebibytes("--cache-ram", "-cram"),
        projector_offload=reader.switch("--mmproj-offload", otherwise=True, no="--no-mmproj-offload"),
        draft_context=reader.number(0, "--ctx-size-draft", "-cd", "--spec-draft-ctx-size") or None,
        draft_gpu_layers=reader.layers("--n-gpu-layers-draft", "--gpu-layers-draft", "-ngld"),
    )


def _padded(tokens: int) -> int:
    return max(-(-tokens // PADDING), 1) * PADDING


class _Reader:
    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments

    def has(self, *names: str) -> bool:
        return value_of(self.arguments, *names) is not None

    def switch(self, *names: str, otherwise: bool, no: str, short_no: str = "") -> bool:
        """Whichever of the two comes last decides."""
        asked = _last(self.arguments, names)
        denied = _last(self.arguments, (no, short_no))
        return otherwise if asked == denied else asked > denied

    def number(self, otherwise: int, *names: str, least: int = 0) -> int:
        return self._read(otherwise, lambda text: _integer(text, least), names)

    def layers(self, *names: str) -> int:
        def read(text: str) -> int:
            return ALL_LAYERS if text in ("all", "auto", "-1") else _integer(text, 0)

        return self._read(ALL_LAYERS, read, names)

    def choice(self, otherwise: str, choices: tuple[str, ...], *names: str) -> str:
        def read(text: str) -> str:
            if text.lower() not in choices:
                raise ValueError(f"is none of {', '.join(name for name in choices if name)}")
            return text.lower()

        return self._read(otherwise, read, names)

    def split(self, *names: str) -> tuple[float, ...]:
        def read(text: str) -> tuple[float, ...]:
            shares = tuple(float(item) for item in text.replace("/", ",").split(","))
            if any(not 0 <= share < 1e9 for share in shares):
                raise ValueError("has a share that is negative or beyond measure")
            return () if not any(shares) else shares

        return self._read((), read, names)

    def mebibytes(self, *names: str) -> int | None:
        return self._read(None, lambda text: max(_integer(text, -1), 0) << 20, names)

    def _read(self, otherwise: Value, read: Callable[[str], Value], names: tuple[str, ...]) -> Value:
        text = value_of(self.arguments, *names)
        if text is None:
            return otherwise
        try:
            return read(text)
        except ValueError as error:
            raise BadParameters(f"backend_parameters: {names[0]} {text!r}: {error}") from error


def _integer(text: str, least: int) -> int:
    number = int(text)
    if not least <= number < 1 << 31:
        raise ValueError(f"must be {least} or more, and below 2^31")
    return number


def _last(arguments: Sequence[str], names: Sequence[str]) -> int:
    return max((at for at, argument in enumerate(arguments) if argument in names), default=-1)
