"""What is asked of workers: `modelyard worker drain NAME`, `modelyard worker resume NAME`.

`modelyard worker` with anything else is the agent itself.
"""

from typing import Annotated

import typer

from modelyard_cli import workers
from modelyard_cli.options import ApiKey, Url, api_of
from modelyard_cli.output import note, say

workers_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
Worker = Annotated[str, typer.Argument(help="Name of the worker.")]


@workers_app.command()
def drain(
    name: Worker,
    message: Annotated[str | None, typer.Option(help="Why, for people.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Empty a worker for maintenance: nothing new is placed on it, and its instances move to other workers.

    One at a time, each once its replacement runs; what no other worker has room for stays where it is.
    """
    api = api_of(url, api_key)
    worker = workers.find(api, name)
    here = sum(one["worker_id"] == worker["id"] for one in api.items("/v2/model-instances"))
    if here and not workers.others_that_take_instances(api, worker):
        note(
            f"No other worker takes instances: the {here} on {name} stay there and go on. Replacements wait "
            "as pending, and each takes over once another worker has room for it."
        )
    wish = {"enabled": True, "drain": True, "message": message}
    api.put(f"/v2/workers/{worker['id']}", {"maintenance": wish})
    say(f"{name} is in maintenance; instances on it: {here}. 'modelyard worker resume {name}' ends it.")


@workers_app.command()
def resume(name: Worker, url: Url = None, api_key: ApiKey = None) -> None:
    """End the maintenance of a worker."""
    api = api_of(url, api_key)
    worker = workers.find(api, name)
    api.put(f"/v2/workers/{worker['id']}", {"maintenance": {"enabled": False}})
    say(f"{name} takes instances again.")
