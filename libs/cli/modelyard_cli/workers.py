"""Workers by their names."""

from modelyard_cli.client import Api, Json
from modelyard_cli.errors import CliError


def find(api: Api, name: str) -> Json:
    """Raises `CliError` if no worker is called so."""
    found = next((worker for worker in api.items("/v2/workers") if worker["name"] == name), None)
    if found is None:
        raise CliError(f"There is no worker {name!r}.", hint="'modelyard ls workers' shows those there are.")
    return found


def others_that_take_instances(api: Api, worker: Json) -> bool:
    """Whether its cluster has any."""
    return any(
        other["id"] != worker["id"]
        and other["cluster_id"] == worker["cluster_id"]
        and other["state"] == "ready"
        and not other["maintenance"]["enabled"]
        for other in api.items("/v2/workers")
    )
