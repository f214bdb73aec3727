"""One micro-batch of a model under its flags, and how a build's coefficients count its widths."""

from dataclasses import dataclass

from modelyard_models.llama_cpp.builds import Build
from modelyard_models.llama_cpp.flags import Flags
from modelyard_models.llama_cpp.shape import Shape

ELEMENT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Graph:
    shape: Shape
    flags: Flags
    build: Build
    tokens: int

    def elements(self, kind: str, **widths: float) -> float:
        """Sum of the build's coefficients times the widths they count."""
        return sum(self.build.of(kind, name) * width for name, width in widths.items())

    def bytes(self, elements: float) -> int:
        return round(elements * ELEMENT_BYTES * self.tokens)
