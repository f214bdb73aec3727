"""A tree of maxima over positions."""


class MaxTree:
    """A number for each position, -1 until it is set. Setting one and finding the first that is large enough
    both take time by the logarithm of the positions."""

    __slots__ = ("_maxima", "_size")

    def __init__(self, positions: int) -> None:
        self._size = 1 << max(0, positions - 1).bit_length()
        self._maxima = [-1] * (2 * self._size)

    @property
    def highest(self) -> int:
        return self._maxima[1]

    def get(self, position: int) -> int:
        return self._maxima[self._size + position]

    def set(self, position: int, value: int) -> None:
        maxima, at = self._maxima, self._size + position
        maxima[at] = value
        at >>= 1
        while at:
            left, right = maxima[2 * at], maxima[2 * at + 1]
            highest = left if left > right else right
            if maxima[at] == highest:
                return
            maxima[at] = highest
            at >>= 1

    def first(self, least: int, start: int = 0) -> int:
        """The first position from `start` on that has at least `least`; -1 if none has."""
        if start >= self._size:
            return -1
        maxima, at = self._maxima, self._size + start
        while maxima[at] < least:
            while at & 1:
                at >>= 1
            if not at:
                return -1
            at += 1
        while at < self._size:
            at *= 2
            if maxima[at] < least:
                at += 1
        return at - self._size
