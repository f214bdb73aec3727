"""Images, fetched by a real Docker engine from a registry on loopback."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from image_registry import ImageRegistry, image_registry
from modelyard_worker_agent.launchers import engine as engines
from modelyard_worker_agent.launchers.engine import Engine, EngineError

SOCKET = os.environ.get("MODELYARD_TEST_DOCKER", "")
pytestmark = pytest.mark.skipif(
    not SOCKET, reason="no Docker engine: MODELYARD_TEST_DOCKER names no socket (see make test-docker)"
)


@pytest.fixture
def registry() -> Iterator[ImageRegistry]:
    with image_registry() as made:
        yield made
        subprocess.run(["docker", "image", "rm", "-f", made.image], check=False, capture_output=True)


def test_an_image_that_is_not_here_is_fetched_and_how_far_it_is_is_said(
    registry: ImageRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "SAY_S", 0.0)
    said: list[str] = []

    Engine(SOCKET).have_image(registry.image, said.append)

    assert said[0] == f"pulling {registry.image}"
    assert "4 of 4 MiB so far" in said[-2]
    assert said[-1] == f"pulled {registry.image}"
    said.clear()
    Engine(SOCKET).have_image(registry.image, said.append)
    assert said == []


def test_an_image_that_the_registry_does_not_have_is_named(registry: ImageRegistry) -> None:
    image = registry.image.replace("model:1", "model:2")
    with pytest.raises(EngineError, match=f"cannot get image {image}: .*manifest unknown"):
        Engine(SOCKET).have_image(image, print)


def test_an_image_that_cannot_be_fetched_whole_is_named(registry: ImageRegistry) -> None:
    registry.layer_is_lost = True
    with pytest.raises(EngineError, match=f"cannot get image {registry.image}: "):
        Engine(SOCKET).have_image(registry.image, print)
