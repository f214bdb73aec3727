"""Backend parameters: the three spellings an operator may use, and what they say."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence

PROGRAM_ALONG = "begin with a flag: the program and the model are not part of the parameters"
CONTINUED = re.compile(r"""("(?:\\.|[^"\\])*"|'[^']*'|\\[^\r\n])|\\\r?\n""", re.DOTALL)
"""What is quoted, which stays as it is, or a backslash at the end of a line."""


class BadParameters(ValueError):
    """The backend parameters cannot be read; the message names the one."""


def split_parameters(parameters: Sequence[str]) -> list[str]:
    """The arguments that a list of parameters stands for: `--k=v`, `--k v` in shell quoting, or two items.

    An item that starts with a flag is split as a shell would, except that JSON without quotes around it is
    one value; so a whole command line may be pasted, over several lines with a backslash at their ends.
    Any other item is one argument. Raises `BadParameters`.
    """
    arguments: list[str] = []
    for item in parameters:
        if not _starts_with_flag(item):
            if not arguments and " -" in item:
                raise BadParameters(f"backend_parameters: {item!r}: {PROGRAM_ALONG}")
            arguments.append(item)
            continue
        try:
            arguments.extend(shlex.split(_with_json_quoted(item)))
        except ValueError as error:
            raise BadParameters(f"backend_parameters: {item!r}: {error}") from error
    return arguments


def as_parameters(arguments: Iterable[str]) -> list[str]:
    """Arguments as a list of parameters that `split_parameters` reads as the same ones."""
    return [_quoted(argument) if _starts_with_flag(argument) else argument for argument in arguments]


def value_of(arguments: Sequence[str], *names: str) -> str | None:
    """What the last of these flags says, as `--flag=value` or `--flag value`; None if none of them is there.

    A flag without a value says `""`. Underscores and dashes in long names are the same, as vLLM reads them.
    """
    wanted = {plain_name(name) for name in names}
    found: str | None = None
    for flag in flags_of(arguments):
        name, equals, value = flag[0].partition("=")
        if plain_name(name) in wanted:
            found = value if equals else flag[1] if len(flag) > 1 else ""
    return found


def flags_of(arguments: Iterable[str]) -> list[tuple[str, ...]]:
    """The arguments, each flag with the values that follow it; what comes before any flag is on its own."""
    flags: list[list[str]] = []
    for argument in arguments:
        if is_flag(argument) or not flags or not is_flag(flags[-1][0]) or "=" in flags[-1][0]:
            flags.append([argument])
        else:
            flags[-1].append(argument)
    return [tuple(flag) for flag in flags]


def name_of(flag: Sequence[str]) -> str:
    """The name of a flag as it counts: `--no-x` means the same switch as `--x`."""
    name = plain_name(flag[0].partition("=")[0])
    return f"--{name[5:]}" if name.startswith("--no-") else name


def plain_name(name: str) -> str:
    return name.replace("_", "-") if name.startswith("--") else name


def is_flag(argument: str) -> bool:
    """Whether it begins with a dash and is no negative number."""
    if not argument.startswith("-") or argument == "-":
        return False
    try:
        float(argument)
    except ValueError:
        return True
    return False


def _starts_with_flag(item: str) -> bool:
    words = item.split(maxsplit=1)
    return bool(words) and item[:1] == "-" and is_flag(words[0])


def _quoted(argument: str) -> str:
    """For a shell, with its first dash outside the quotes: that is what makes it a flag."""
    name, equals, value = argument.partition("=")
    if equals and shlex.quote(name) == name:
        return f"{name}={shlex.quote(value)}"
    return f"-{shlex.quote(argument[1:])}" if shlex.quote(argument) != argument else argument


def _with_json_quoted(text: str) -> str:
    """The text with shell quotes around each JSON object or array that has none, and lines joined."""
    text = CONTINUED.sub(lambda found: found[1] or " ", text)
    done, place, quote = "", 0, ""
    while place < len(text):
        here = text[place]
        if not quote and here in "{[" and (not done or done[-1] == "=" or done[-1].isspace()):
            value = _json_at(text, place)
            done += shlex.quote(value) if value else here
            place += len(value) or 1
            continue
        if here == "\\" and quote != "'":
            done += text[place : place + 2]
            place += 2
            continue
        if here in "'\"" and quote in ("", here):
            quote = "" if quote else here
        done += here
        place += 1
    return done


def _json_at(text: str, place: int) -> str:
    """The JSON value that begins there and is a word's end; empty if there is none."""
    try:
        _, end = json.JSONDecoder().raw_decode(text, place)
    except ValueError:
        return ""
    return text[place:end] if end == len(text) or text[end].isspace() else ""
