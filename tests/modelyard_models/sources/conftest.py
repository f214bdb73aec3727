from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, hub_server
from modelyard_models.sources.catalogue import Catalogue
from modelyard_models_hub import catalogue_for, fill


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with hub_server() as server:
        fill(server, tmp_path)
        yield server


@pytest.fixture
def catalogue(hub: Hub, tmp_path: Path) -> Iterator[Catalogue]:
    made = catalogue_for(hub, tmp_path)
    yield made
    made.close()
