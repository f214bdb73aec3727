"""How sure an estimate can be, from what is known of the model and the cards."""

from modelyard_models.estimators.request import Request
from modelyard_models.model import LoadedModel
from modelyard_models.need import Confidence

UNCHECKED_QUANTIZATIONS = ("mixed",)


def confidence_of(request: Request, model: LoadedModel) -> Confidence:
    """High where formulas were checked against starts of such models: text, known layers, NVIDIA's cards."""
    if not model.is_known:
        return Confidence.LOW
    is_checked = all(device.type == "cuda" for device in request.layout.devices())
    stored = model.quantization.name if model.quantization else ""
    if not is_checked or model.shape.encoder is not None or stored in UNCHECKED_QUANTIZATIONS:
        return Confidence.MEDIUM
    return Confidence.HIGH


def at_most_medium(confidence: Confidence) -> Confidence:
    """Of a backend that was never measured."""
    return Confidence.LOW if confidence is Confidence.LOW else Confidence.MEDIUM
