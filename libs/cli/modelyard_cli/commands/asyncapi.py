"""The document of the event log."""

from modelyard_cli.errors import UsageError
from modelyard_cli.output import Output, show_data
from modelyard_cli.version import installed_version


def asyncapi() -> None:
    try:
        from modelyard_eventlog.asyncapi import document
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The Python package of {error.name!r} is missing.",
            hint="Install what is needed with: pip install 'modelyard[api]'",
        ) from error
    show_data(document(version=installed_version()), Output.JSON)
