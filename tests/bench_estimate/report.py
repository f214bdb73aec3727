"""Estimates beside measurements, as relative errors, and whether they meet their targets."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Comparison:
    """One quantity over all rows. Errors are shares of what was measured; under is negative."""

    quantity: str
    mean_at_most: float | None = None
    """Of absolute errors."""
    within: float | None = None
    """The error that a share of the rows must not exceed."""
    share_within: float = 1.0
    under_at_most: float | None = None
    over_at_most: float | None = None
    errors: dict[str, float] = field(default_factory=dict)

    def add(self, row: str, estimated: float, measured: float) -> None:
        if measured:
            self.errors[row] = estimated / measured - 1
        elif estimated:
            self.errors[row] = float("inf")

    @property
    def mean(self) -> float:
        return sum(abs(error) for error in self.errors.values()) / max(len(self.errors), 1)

    @property
    def share(self) -> float:
        """Of the rows within the wanted error."""
        close = sum(abs(error) <= (self.within or 0) for error in self.errors.values())
        return close / max(len(self.errors), 1)

    def misses(self) -> list[str]:
        found = []
        if self.mean_at_most is not None and self.mean > self.mean_at_most:
            found.append(f"mean above {self.mean_at_most:.2%}")
        if self.within is not None and self.share < self.share_within:
            found.append(f"{self.share:.1%} of rows within {self.within:.1%}, wanted {self.share_within:.0%}")
        if self.under_at_most is not None and min(self.errors.values()) < -self.under_at_most:
            found.append(f"more than {self.under_at_most:.1%} under")
        if self.over_at_most is not None and max(self.errors.values()) > self.over_at_most:
            found.append(f"more than {self.over_at_most:.1%} over")
        return found if self.errors else ["no rows"]


def print_comparisons(title: str, comparisons: Sequence[Comparison]) -> int:
    """How many miss their target."""
    print(f"\n{title}")
    print(f"  {'quantity':<46}{'rows':>5}{'mean':>9}{'under':>9}{'over':>9}  target")
    missed = 0
    for comparison in comparisons:
        misses = comparison.misses()
        missed += bool(misses)
        errors = comparison.errors
        worst = [f"{min(errors.values(), default=0):>+9.2%}", f"{max(errors.values(), default=0):>+9.2%}"]
        figures = f"{len(errors):>5}{comparison.mean:>9.3%}{worst[0]}{worst[1]}"
        print(f"  {comparison.quantity:<46}{figures}  {'MISSED: ' + '; '.join(misses) if misses else 'met'}")
        if misses:
            for row, error in sorted(errors.items(), key=lambda item: -abs(item[1]))[:5]:
                print(f"      {error:+.2%} {row}")
    return missed
