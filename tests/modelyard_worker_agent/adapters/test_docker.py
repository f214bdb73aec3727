import pytest
from modelyard_worker_agent.adapters.docker import on_the_engines_machine
from modelyard_worker_agent.ports import StartFailed

VOLUMES = {
    "/var/lib/modelyard": "/var/lib/docker/volumes/stack_worker-data/_data",
    "/models": "/srv/models",
    "/models/big": "/mnt/big",
}


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("/models", "/srv/models"),
        ("/models/a/b.gguf", "/srv/models/a/b.gguf"),
        ("/models/big/c", "/mnt/big/c"),
        ("/var/lib/modelyard/models/x", "/var/lib/docker/volumes/stack_worker-data/_data/models/x"),
    ],
)
def test_a_path_of_the_agents_container_is_found_where_its_volume_lies(here: str, there: str) -> None:
    assert on_the_engines_machine(here, VOLUMES) == there


def test_what_lies_in_no_volume_is_named() -> None:
    with pytest.raises(StartFailed, match="/modelsother/a"):
        on_the_engines_machine("/modelsother/a", VOLUMES)
