"""Looks at models from here, without an api."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from modelyard_contracts.deployments import Source
from modelyard_contracts.models import ModelCoordinates
from modelyard_models.sources.catalogue import Catalogue
from modelyard_models.sources.errors import SourceError
from modelyard_models.sources.inspecting import Inspection
from modelyard_models.sources.port import Found, Search
from modelyard_models.sources.settings import ModelSourceSettings

from modelyard_cli.errors import CliError

Result = TypeVar("Result")


def search_directly(source: Source, wanted: Search) -> Found:
    """Raises `CliError`."""
    return _asked(lambda catalogue: catalogue.search(source, wanted))


def inspect_directly(coordinates: ModelCoordinates) -> Inspection:
    """Raises `CliError`."""
    return _asked(lambda catalogue: catalogue.inspect(coordinates))


def _asked(ask: Callable[[Catalogue], Awaitable[Result]]) -> Result:
    async def work() -> Result:
        catalogue = Catalogue(ModelSourceSettings())
        try:
            return await ask(catalogue)
        finally:
            catalogue.close()

    try:
        return asyncio.run(work())
    except SourceError as error:
        raise CliError(f"{error}.") from error
