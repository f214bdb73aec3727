"""How long one sequence may be, from the flags and the model."""

from modelyard_contracts.parameters import BadParameters

from modelyard_models.estimators.request import Request
from modelyard_models.shape.layers import Shape

UNKNOWN_CONTEXT = 8192
AUTOMATIC = ("auto", "-1")


def context_of(request: Request, shape: Shape | None, *names: str) -> tuple[int, bool, list[str]]:
    """Tokens; whether the backend shortens them to what fits; and notes."""
    own = shape.max_positions if shape else request.facts.context_length or 0
    asked = request.flags.text(*names)
    if asked in AUTOMATIC:
        return own or UNKNOWN_CONTEXT, True, []
    wanted = request.flags.whole(*names)
    if wanted is None:
        if own:
            return own, False, [f"{names[0]} is not set: the model's own {own} tokens"]
        return UNKNOWN_CONTEXT, False, [f"the model's context length is not known: {UNKNOWN_CONTEXT} assumed"]
    if wanted > 1 << 31:
        raise BadParameters(f"{names[0]}: {wanted} is longer than any model")
    if own and wanted > own:
        return wanted, False, [f"{names[0]} {wanted} is beyond the model's own {own} tokens"]
    return wanted, False, []
