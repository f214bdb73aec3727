"""How sure an estimate can be, from what is known of the model and the cards."""

from modelyard_models.estimators.request import Request
from modelyard_models.model import LoadedModel
from modelyard_models.need import Confidence
from modelyard_models.shape.layers import LatentAttention, Mixer, StateSpace, counted

CLOSE = 0.1
"""A shape that misses the files' size by more is understood in part."""


def confidence_of(request: Request, model: LoadedModel) -> Confidence:
    """High where formulas were checked against starts of such models: text, known layers, NVIDIA's cards.
    Low where neither a start nor the size of the files tells whether the layers are understood."""
    if not model.is_known:
        return Confidence.LOW
    is_checked = all(device.type == "cuda" for device in request.layout.devices())
    is_plain = model.shape.encoder is None and model.checkpoint.error <= CLOSE
    layers = [layer for layer, _ in counted(model.shape.layers)]
    is_unchecked = any(_is_unchecked(layer.mixer) for layer in layers)
    if is_unchecked and request.facts.weight_bytes <= 0:
        return Confidence.LOW
    return Confidence.HIGH if is_checked and is_plain and not is_unchecked else Confidence.MEDIUM


def _is_unchecked(mixer: Mixer | None) -> bool:
    """No start of a model with such layers was measured."""
    return isinstance(mixer, StateSpace) or (isinstance(mixer, LatentAttention) and mixer.index_dim > 0)


def at_most_medium(confidence: Confidence) -> Confidence:
    """Of a backend that was never measured."""
    return Confidence.LOW if confidence is Confidence.LOW else Confidence.MEDIUM
