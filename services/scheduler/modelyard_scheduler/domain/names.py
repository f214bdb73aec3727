"""Names of instances."""

SUFFIX_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
SUFFIX_LENGTH = 5


def instance_name(deployment_name: str, suffix: str) -> str:
    """`<deployment>-<5 characters a-z0-9>`; the suffix is drawn by the caller. Raises ValueError."""
    if len(suffix) != SUFFIX_LENGTH or not set(suffix) <= set(SUFFIX_ALPHABET):
        raise ValueError(f"{suffix!r} is not {SUFFIX_LENGTH} characters of a-z and 0-9")
    return f"{deployment_name}-{suffix}"
