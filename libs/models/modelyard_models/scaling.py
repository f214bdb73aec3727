"""A model as it would be with fewer or more bits a weight."""

from modelyard_contracts.models import GgufFacts, ModelFacts


def scaled(model: ModelFacts, share: float) -> ModelFacts:
    """All its weights by the same share of their bytes; at best, none of them is kept in a second order."""
    update: dict[str, object] = {"weight_bytes": int(model.weight_bytes * share)}
    if model.gguf is not None:
        update["gguf"] = _scaled_gguf(model.gguf, share)
    return model.model_copy(update=update)


def _scaled_gguf(facts: GgufFacts, share: float) -> GgufFacts:
    groups = tuple(
        group.model_copy(
            update={
                "weight_bytes": int(group.weight_bytes * share),
                "padded_bytes": int(group.padded_bytes * share),
                "largest_tensor_bytes": int(group.largest_tensor_bytes * share),
                "repackable_bytes": {},
            }
        )
        for group in facts.groups
    )
    return facts.model_copy(update={"groups": groups})
