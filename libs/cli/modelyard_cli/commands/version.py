"""Which Modelyard this is."""

from modelyard_cli.output import say
from modelyard_cli.version import installed_version


def version() -> None:
    say(installed_version())
