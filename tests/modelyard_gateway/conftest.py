from collections.abc import AsyncIterator

import pytest
from modelyard_gateway_world import ModelServer, World, gateway_world, one_model


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with gateway_world() as found:
        yield found


@pytest.fixture
async def tiny(world: World) -> AsyncIterator[ModelServer]:
    """The only instance (10) of the model `tiny`, whose route is 42 and open to the generic proxy."""
    async with one_model(world) as server:
        yield server
