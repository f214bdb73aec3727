"""From nothing to a chat answer."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelyard_cli import chat, demo_model, deployments
from modelyard_cli.client import Api, Json
from modelyard_cli.commands.up import ApiPort, GatewayPort, NatsPort, Verbose, check_modules, directory
from modelyard_cli.config import Target
from modelyard_cli.embedded.options import UpOptions
from modelyard_cli.embedded.state import Addresses, StateDir, read_if_there
from modelyard_cli.errors import CliError, UsageError
from modelyard_cli.options import StateDirectory
from modelyard_cli.output import say

if TYPE_CHECKING:
    from modelyard_cli.embedded.account import Account

QUESTION = "What is the capital of France?"
WAIT_S = 1800.0
"""A large model has to be downloaded first."""


def demo(
    model: Annotated[
        str | None, typer.Argument(help="A GGUF file or a Hugging Face repository; a small one if not given.")
    ] = None,
    question: Annotated[str, typer.Option(help="What to ask it.")] = QUESTION,
    leave: Annotated[bool, typer.Option("--exit", help="Stop after the answer.")] = False,
    state_dir: StateDirectory = None,
    api_port: ApiPort = 7700,
    gateway_port: GatewayPort = 7701,
    nats_port: NatsPort = 7702,
    verbose: Verbose = False,
) -> None:
    options = UpOptions(
        state_dir=directory(state_dir), api_port=api_port, gateway_port=gateway_port, nats_port=nats_port
    )
    check_modules(options)
    source = _source(model)
    from modelyard_cli.embedded.up import run_up, summary

    state = StateDir(options.state_dir)
    running = running_on(state)
    if running is not None:
        say(f"Modelyard is already running on {state.root}: using it.")
        serve_and_ask(running, state, source, question)
        return

    async def then(account: "Account") -> bool:
        here = Addresses(options.api_url, options.gateway_url)
        name = await asyncio.to_thread(serve_and_ask, here, state, source, question)
        if leave:
            return False
        say("")
        for line in summary(options, account):
            say(line)
        say(f"  ask it yourself  {chat.curl(options.gateway_url, state.admin_key, name, question)}")
        return True

    asyncio.run(run_up(options, say, then=then, verbose=verbose))


def running_on(state: StateDir) -> Addresses | None:
    """Where the stack on this directory answers, if one runs."""
    if not state.root.exists():
        return None
    try:
        with state.locked():
            return None
    except UsageError:
        return state.addresses()


def serve_and_ask(at: Addresses, state: StateDir, source: Json, question: str) -> str:
    """Prints the steps and the answer; gives the deployment's name. Raises `CliError`."""
    key = read_if_there(state.admin_key)
    if key is None:
        raise CliError(
            f"The admin's first password was changed and {state.admin_key} is gone.",
            hint="Give another --state-dir.",
        )
    api = Api(Target(at.api, key))
    name, ident = deployed(api, source)
    say(f"deploy     {name} (deployment {ident})")
    deployments.wait_until_running(api, ident, timeout_s=WAIT_S, tell=lambda text: say(f"           {text}"))
    say(f"ask        {question}")
    sys.stdout.write("answer     ")
    for piece in chat.ask(at.gateway, key, name, question):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return name


def deployed(api: Api, source: Json) -> tuple[str, int]:
    """A deployment of this model that runs, or will: one that is there already, or a new one."""
    wanted = deployments.name_from(source.get("local_path") or source["huggingface_repo_id"])
    models = api.items("/v2/models")
    for model in models:
        if all(model.get(field) == value for field, value in source.items()):
            if model["replicas"] == 0:
                api.put(f"/v2/models/{model['id']}", {"replicas": 1})
            return model["name"], model["id"]
    taken = {model["name"] for model in models}
    free = (f"{wanted}-{number}" for number in range(2, len(taken) + 3))
    name = wanted if wanted not in taken else next(one for one in free if one not in taken)
    made = api.post("/v2/models", {"name": name, "replicas": 1, **source})
    return made["name"], made["id"]


def _source(model: str | None) -> Json:
    if model is None:
        return {"source": "local_path", "local_path": str(demo_model.fetch(say))}
    source = deployments.source_fields(model, None)
    if source["source"] == "local_path" and not Path(source["local_path"]).exists():
        raise UsageError(f"There is no model at {source['local_path']}.")
    return source
