"""What a model takes in and gives out."""

from modelyard_contracts.deployments import Category
from modelyard_contracts.models import GgufFacts

from modelyard_models.describing.evidence import Evidence, Object
from modelyard_models.describing.tables import multimodal_classes

BY_CATEGORY = {
    Category.IMAGE: ("text", "image"),
    Category.SPEECH_TO_TEXT: ("audio", "text"),
    Category.TEXT_TO_SPEECH: ("text", "audio"),
}
VISION = ("vision_config", "visual", "vision_tower_config", "mm_vision_tower", "vision_tower")
AUDIO = ("audio_config", "audio_encoder_config", "speech_config")


def modalities_of(evidence: Evidence, category: Category, projector: GgufFacts | None) -> tuple[str, ...]:
    if category in BY_CATEGORY:
        return BY_CATEGORY[category]
    config = evidence.config
    inner = config.get("thinker_config")
    parts: list[Object] = [config, *([inner] if isinstance(inner, dict) else [])]
    sees = any(name in part for part in parts for name in VISION)
    hears = any(name in part for part in parts for name in AUDIO)
    if projector is not None:
        sees = sees or projector.metadata.get("clip.has_audio_encoder") is not True
        hears = hears or projector.metadata.get("clip.has_audio_encoder") is True
    named = any(name in multimodal_classes() for name in evidence.architectures)
    sees = sees or (named and not hears)
    return ("text", *(["image"] if sees else []), *(["audio"] if hears else []))
