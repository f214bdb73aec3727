"""Backend parameters: the three spellings an operator may use, and what they say."""

import shlex
from collections.abc import Sequence


class BadParameters(ValueError):
    """The backend parameters cannot be read; the message names the one."""


def split_parameters(parameters: Sequence[str]) -> list[str]:
    """The arguments that a list of parameters stands for: `--k=v`, `--k v` in shell quoting, or two items.

    An item that starts with a flag is split as a shell would, any other is one argument.
    Raises `BadParameters`.
    """
    arguments: list[str] = []
    for item in parameters:
        if not item.startswith("-"):
            arguments.append(item)
            continue
        try:
            arguments.extend(shlex.split(item))
        except ValueError as error:
            raise BadParameters(f"backend_parameters: {item!r}: {error}") from error
    return arguments


def value_of(arguments: Sequence[str], *names: str) -> str | None:
    """What the last of these flags says, as `--flag=value` or `--flag value`; None if none of them is there.

    A flag without a value says `""`. Underscores and dashes in long names are the same, as vLLM reads them.
    """
    wanted = {_plain(name) for name in names}
    found: str | None = None
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if _plain(name) not in wanted:
            continue
        following = arguments[position + 1] if position + 1 < len(arguments) else None
        found = value if equals else "" if following is None or _is_flag(following) else following
    return found


def _plain(name: str) -> str:
    return name.replace("_", "-") if name.startswith("--") else name


def _is_flag(argument: str) -> bool:
    """Whether it begins with a dash and is no negative number."""
    if not argument.startswith("-") or argument == "-":
        return False
    try:
        float(argument)
    except ValueError:
        return True
    return False
