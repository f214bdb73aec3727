"""Memory that vLLM's profile run takes beside weights and cache: the largest layer's buffers, or the
warm-up of the sampler, whichever is more. Structure from vLLM's source, coefficients from
`data/vllm.json`."""

from dataclasses import dataclass

from modelyard_models.parallel import Parallel
from modelyard_models.shape.layers import Dense, Experts, Shape, counted

IMAGE_TOKENS = 16384
"""The most that one image becomes in models that take images of any size."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the server is prepared for at once."""

    tokens: int
    sequences: int
    max_model_len: int
    has_video: bool = True


@dataclass(frozen=True, slots=True)
class Activation:
    """Coefficients of a version."""

    sampler_bytes_per_logit: float
    has_moe_workspace: bool


def activation_bytes(shape: Shape, parallel: Parallel, stage: int, batch: Batch, rules: Activation) -> float:
    """Of one device of a stage."""
    tokens, hidden = batch.tokens, shape.hidden
    layer = 2 * tokens * (3 * _dense_width(shape) / parallel.tensor + 4 * hidden)
    if stage == parallel.pipeline - 1 and not shape.is_encoder_only:
        logits = min(batch.sequences, tokens) * shape.vocabulary
        largest = max(rules.sampler_bytes_per_logit * logits + 2 * tokens * hidden, layer)
    else:
        largest = layer + (4 * tokens * hidden if parallel.pipeline > 1 else 0)
    if rules.has_moe_workspace:
        largest += _moe_workspace(shape, parallel, tokens)
    if stage > 0 or shape.encoder is None:
        return largest
    return max(largest + 2 * tokens * hidden, encoder_bytes(shape, batch))


def encoder_bytes(shape: Shape, batch: Batch) -> float:
    """Of a tower that takes images of any size: every patch of the largest image, or of a whole sequence of
    video, through its widest layer."""
    tower = shape.encoder
    if tower is None or not tower.merge:
        return 0.0
    tokens = max(IMAGE_TOKENS, batch.max_model_len if batch.has_video else 0)
    patches = min(tokens, 2 * IMAGE_TOKENS) * tower.merge**2
    return patches * (3 * tower.width + 5 * tower.hidden) * 2


def _dense_width(shape: Shape) -> int:
    widths = [0]
    for layer, _ in counted(shape.layers):
        for one in layer.feed_forward:
            widths.append(one.width if isinstance(one, Dense) else one.shared_width)
    return max(widths)


def _moe_workspace(shape: Shape, parallel: Parallel, tokens: int) -> float:
    """Buffers of the fused kernels: one between the two matrices of an expert, one behind them."""
    largest = 0.0
    slices = parallel.expert_slices
    for layer, _ in counted(shape.layers):
        for one in layer.feed_forward:
            if isinstance(one, Experts):
                hidden = one.latent or shape.hidden
                first = max(2 * one.width / slices, hidden)
                second = max(one.width / slices, hidden)
                largest = max(largest, 2 * tokens * one.active * (first + second))
    return largest
