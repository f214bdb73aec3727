"""How long one sequence may be, from the flags and the model."""

from dataclasses import dataclass

from modelyard_contracts.parameters import BadParameters

from modelyard_models.estimators.request import Request
from modelyard_models.shape.layers import Shape

UNKNOWN_CONTEXT = 8192
LEAST_CONTEXT = 8192
"""What must fit of longer models where nobody says how much is wanted."""
AUTOMATIC = ("auto", "-1")


@dataclass(frozen=True, slots=True)
class Context:
    tokens: int
    least: int
    """Down to so many they are shortened to what fits."""
    notes: tuple[str, ...] = ()


def context_of(request: Request, shape: Shape | None, *names: str) -> Context:
    """As the flag says; without it the model's own, or as much of it as fits."""
    own = shape.max_positions if shape else request.facts.context_length or 0
    asked = request.flags.text(*names)
    if asked in AUTOMATIC:
        return Context(own or UNKNOWN_CONTEXT, 1)
    wanted = request.flags.whole(*names)
    if wanted is None and own:
        return Context(
            own, min(own, LEAST_CONTEXT), (f"{names[0]} is not set: up to the model's own {own} tokens",)
        )
    if wanted is None:
        note = f"the model's context length is not known: {UNKNOWN_CONTEXT} tokens assumed"
        return Context(UNKNOWN_CONTEXT, UNKNOWN_CONTEXT, (note,))
    if wanted > 1 << 31:
        raise BadParameters(f"{names[0]}: {wanted} is longer than any model")
    if own and wanted > own:
        return Context(wanted, wanted, (f"{names[0]} {wanted} is beyond the model's own {own} tokens",))
    return Context(wanted, wanted)
