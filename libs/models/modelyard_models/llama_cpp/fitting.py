"""What would fit: the longest context on a layout, and the most layers on its devices."""

from collections.abc import Callable
from dataclasses import replace

from modelyard_models.llama_cpp.case import Case
from modelyard_models.llama_cpp.companions import Parts
from modelyard_models.llama_cpp.flags import PADDING
from modelyard_models.llama_cpp.needs import device_need, fits
from modelyard_models.llama_cpp.plan import Plan, with_context

MOST_CONTEXT = 1 << 20


def largest_context(case: Case, planned: Plan, beside: Parts) -> int | None:
    """Tokens of one sequence that fit with all else as it is; None without devices, 0 if not even a few."""
    if not planned.placement.devices:
        return None
    slots = 1 if case.flags.unified else case.flags.parallel

    def holds(steps: int) -> bool:
        flags = replace(case.flags, context=steps * PADDING * slots)
        tried = with_context(case.shape, flags, planned.placement, planned.weights, case.build)
        return _holds(case, tried, beside)

    most = max(case.shape.context_length or MOST_CONTEXT, PADDING) // PADDING
    return _largest(most, holds) * PADDING


def best_offload(case: Case) -> int:
    """The most layers (the output layer is one) that the layout's devices hold; 0 if none fit."""

    def holds(layers: int) -> bool:
        tried = replace(case, offload_layers=layers)
        planned = tried.plan()
        return _holds(tried, planned, tried.beside(planned))

    return _largest(case.shape.layers_in_file + 1, holds) if case.devices else 0


def _holds(case: Case, planned: Plan, beside: Parts) -> bool:
    needs = [device_need(case, planned, beside, rank) for rank in planned.placement.devices]
    return fits(needs, case.devices)


def _largest(most: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `most` that holds, where all smaller ones do; 0 if none does."""
    if holds(most):
        return most
    low, high = 0, most - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
