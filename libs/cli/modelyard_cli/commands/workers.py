"""What is asked of workers: `modelyard worker drain NAME`, `modelyard worker resume NAME`.

`modelyard worker` with anything else is the agent itself.
"""

from typing import Annotated

import typer

from modelyard_cli import workers
from modelyard_cli.options import ApiKey, Url, api_of
from modelyard_cli.output import say

workers_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
Worker = Annotated[str, typer.Argument(help="Name of the worker.")]


@workers_app.command()
def drain(
    name: Worker,
    message: Annotated[str | None, typer.Option(help="Why, for people.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Empty a worker for maintenance: its instances move elsewhere, and nothing new is placed on it."""
    api = api_of(url, api_key)
    worker = workers.find(api, name)
    wish = {"enabled": True, "drain": True, "message": message}
    api.put(f"/v2/workers/{worker['id']}", {"maintenance": wish})
    say(f"{name} is in maintenance; its instances move elsewhere. 'modelyard worker resume {name}' ends it.")


@workers_app.command()
def resume(name: Worker, url: Url = None, api_key: ApiKey = None) -> None:
    """End the maintenance of a worker."""
    api = api_of(url, api_key)
    worker = workers.find(api, name)
    api.put(f"/v2/workers/{worker['id']}", {"maintenance": {"enabled": False}})
    say(f"{name} takes instances again.")
