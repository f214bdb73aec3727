"""Sizes in the words of people."""

GIB = 1024**3


def gib(size_bytes: int) -> str:
    return f"{max(size_bytes, 0) / GIB:.2f} GiB"
