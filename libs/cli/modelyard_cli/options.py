"""Options that most commands take."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard_cli.client import Api
from modelyard_cli.config import resolve
from modelyard_cli.output import Output

Url = Annotated[
    str | None, typer.Option("--url", envvar="MODELYARD_URL", help="Address of the api.", show_default=False)
]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="MODELYARD_API_KEY", help="API key to use.", show_default=False),
]
Format = Annotated[
    Output, typer.Option("--output", "-o", help="A table for people, or all of it as JSON or YAML.")
]
StateDirectory = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", envvar="MODELYARD_STATE_DIR", help="Where the data is kept.", show_default=False
    ),
]


def api_of(url: str | None, api_key: str | None) -> Api:
    return Api(resolve(url, api_key))
