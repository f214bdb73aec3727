"""What vLLM decides from its flags, its version and the devices before it loads a model."""

from dataclasses import dataclass
from typing import Any

from modelyard_contracts.deployments import Category
from modelyard_contracts.parameters import BadParameters

from modelyard_models.activation import Activation, Batch
from modelyard_models.cards import is_linked
from modelyard_models.estimators.parts import GIB
from modelyard_models.estimators.request import Request
from modelyard_models.flags import Flags
from modelyard_models.layout import Device
from modelyard_models.parallel import FlagNames, Parallel
from modelyard_models.quantization import MXFP4, Quantization, cache_element_bytes
from modelyard_models.shape.layers import Shape

FLAG_NAMES = FlagNames(
    ("--tensor-parallel-size", "-tp"),
    ("--pipeline-parallel-size", "-pp"),
    ("--data-parallel-size", "-dp"),
)
MULTIMODAL_TOKENS = 5120
"""The least that is batched for models with images (vllm/engine/arg_utils.py)."""
SMALL_SEQUENCES = 512
"""Graphs are captured for so many sequences at most on smaller servers."""


@dataclass(frozen=True, slots=True)
class Settings:
    rules: dict[str, Any]
    """Coefficients of the version."""
    fraction: float
    batch: Batch
    kv_element_bytes: float
    block: int
    is_eager: bool

    def activation(self, stored: Quantization | None) -> Activation:
        """MXFP4 experts run in kernels that need no workspace."""
        has_workspace = self.rules["moe_workspace"] and not (stored and stored.name == MXFP4.name)
        return Activation(self.rules["sampler_bytes_per_logit"], has_workspace)

    def graph_bytes(self, device: Device, parallel: Parallel) -> float:
        """Captured graphs hold more where collectives run over PCIe."""
        if self.is_eager:
            return 0.0
        if not is_linked(device):
            return _by_ranks(self.rules["pcie_graphs_gib"], parallel)
        size = "large" if self.batch.sequences > SMALL_SEQUENCES else "small"
        return float(self.rules["graphs_gib"][size] * GIB)


def settings_of(request: Request, rules: dict[str, Any], shape: Shape, context: int) -> Settings:
    flags = request.flags
    return Settings(
        rules=rules,
        fraction=flags.share("--gpu-memory-utilization") or rules["fraction"],
        batch=_batch(request, rules, shape, context),
        kv_element_bytes=kv_element_bytes(flags, shape, _asked_for(request, rules)),
        block=flags.whole("--block-size") or rules["block_size"],
        is_eager=flags.has("--enforce-eager"),
    )


def _batch(request: Request, rules: dict[str, Any], shape: Shape, context: int) -> Batch:
    flags = request.flags
    default = _default(rules["defaults"], request.smallest)
    tokens = flags.whole("--max-num-batched-tokens")
    if tokens is None:
        tokens = default["tokens"]
        if shape.encoder is not None and not shape.cross_positions:
            tokens = max(tokens, MULTIMODAL_TOKENS)
        if flags.has("--no-enable-chunked-prefill") or shape.is_encoder_only:
            tokens = max(tokens, context)
    sequences = flags.whole("--max-num-seqs") or min(default["sequences"], tokens)
    limits = flags.mapping("--limit-mm-per-prompt")
    return Batch(tokens, sequences, context, limits.get("video", 1) not in (0, "0"))


def _default(rows: list[dict[str, Any]], device: Device | None) -> dict[str, Any]:
    size = device.memory_bytes / GIB if device else 0
    name = device.name.upper() if device else ""
    return next(
        row
        for row in rows
        if size >= row.get("memory_gib", 0) and not ("except" in row and row["except"] in name)
    )


def _asked_for(request: Request, rules: dict[str, Any]) -> float | None:
    """What the checkpoint asks of the cache, where this version listens."""
    return cache_element_bytes(request.facts.config or {}) if rules["cache_as_checkpoint_asks"] else None


def kv_element_bytes(flags: Flags, shape: Shape, asked_for: float | None = None) -> float:
    """`asked_for`: by the checkpoint; a flag wins."""
    kind = flags.text("--kv-cache-dtype") or "auto"
    if kind.startswith("fp8") or kind == "int8":
        return 1.0
    if kind in ("nvfp4", "fp4_e2m1"):
        return 0.5 + 1 / 16
    if kind == "auto" and asked_for is not None:
        return asked_for
    if kind in ("auto", "bfloat16", "float16", "bf16", "half"):
        return float(shape.bytes_per_weight)
    raise BadParameters(f"--kv-cache-dtype: {kind!r} is not known: use auto, bfloat16, float16 or fp8")


def non_torch_bytes(rules: dict[str, Any], device: Device, parallel: Parallel) -> float:
    """What collectives and libraries hold outside of torch's allocator."""
    table = rules["non_torch_gib"] if is_linked(device) else rules["pcie_non_torch_gib"]
    return _by_ranks(table, parallel)


def _by_ranks(table: dict[str, float], parallel: Parallel) -> float:
    """GiB of the largest number of ranks in the table that is not more than there are, as bytes."""
    sizes = [int(size) for size in table if int(size) <= parallel.tensor]
    return table[str(max(sizes))] * GIB


def with_experts(parallel: Parallel, flags: Flags, copies: int) -> Parallel:
    """Experts are divided over the tensor ranks of all copies, whole where expert parallel is on."""
    return Parallel(
        parallel.tensor,
        parallel.pipeline,
        parallel.data,
        expert=parallel.tensor * copies,
        has_whole_experts=flags.has("--enable-expert-parallel", "-ep"),
        attention_tensor=parallel.tensor,
    )


def is_pooling(request: Request) -> bool:
    """Whether the model answers with vectors or scores, and samples nothing."""
    flags = request.flags
    if flags.text("--task") in ("embed", "embedding", "score", "classify", "reward"):
        return True
    if flags.text("--runner") == "pooling" or flags.text("--convert") in ("embed", "classify"):
        return True
    return request.facts.category in (Category.EMBEDDING, Category.RERANKER)
