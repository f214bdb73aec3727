"""Commands with placeholders, as in `serve {{model_path}} --port {{port}}`."""

import re
import shlex
from collections.abc import Mapping

PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class BadTemplate(ValueError):
    """The command cannot be read, or holds a placeholder that nothing is known for; the message names it."""


def fill(template: str, values: Mapping[str, str]) -> str:
    """Raises `BadTemplate`."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            raise BadTemplate(f"{{{{{name}}}}} is none of {', '.join(sorted(values))}")
        return values[name]

    return PLACEHOLDER.sub(value, template)


def fill_command(template: str, values: Mapping[str, str]) -> list[str]:
    """The arguments of a command: split as a shell would, then filled in, so that a value is never split.

    Raises `BadTemplate`.
    """
    text = template.replace("\\\r\n", " ").replace("\\\n", " ")
    text = PLACEHOLDER.sub(lambda match: f"{{{{{match[1]}}}}}", text)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadTemplate(f"{template!r}: {error}") from error
    if not words:
        raise BadTemplate("the command is empty")
    return [fill(word, values) for word in words]
