"""Runs a model server in a container and stands for it: what it says, how it ends, and that it should end.

    python -m modelyard_worker_agent.launchers.container DIRECTORY

`DIRECTORY/container.json` says what to run (`engine.Recipe`); values of its variables are taken
from this process's environment. If the container of this run is there already, it is taken up where it is.
The address that it is reached by goes to the report file. SIGTERM is passed on. Ends as the container ends.
"""

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelyard_worker_agent.launchers.engine import AGENT, RUN, Engine, EngineError, Recipe

NOT_STARTED = 125
STANDING = "standing"
"""There once there is a container, and a request to end is heard."""


def main(directory: Path) -> int:
    recipe = Recipe.read(directory)
    engine = Engine(recipe.socket)
    try:
        ident = next(iter(engine.labelled(run_of(recipe))), None)
        since = 0
        if ident is None:
            engine.have_image(recipe.image, say)
            ident = engine.create(recipe, {name: os.environ.get(name, "") for name in recipe.variables})
            hear_the_request_to_end(recipe, ident)
            (directory / STANDING).touch()
            engine.start(ident)
        else:
            hear_the_request_to_end(recipe, ident)
            (directory / STANDING).touch()
            since = int(max((path.stat().st_mtime for path in directory.glob("log*.txt")), default=0))
        report(directory, recipe, engine.inspect(ident))
        engine.copy_logs(ident, since, sys.stdout.buffer)
        return ended_as(engine.wait(ident), engine.inspect(ident))
    except EngineError as error:
        say(str(error))
        return NOT_STARTED


def run_of(recipe: Recipe) -> dict[str, str]:
    """The labels that no other container has."""
    return {name: recipe.labels[name] for name in (RUN, AGENT)}


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def hear_the_request_to_end(recipe: Recipe, ident: str) -> None:
    """In a thread with an engine of its own: the main one is reading logs."""

    def ask(*_: object) -> None:
        threading.Thread(target=end, daemon=True).start()

    def end() -> None:
        with suppress(EngineError):
            Engine(recipe.socket).kill(ident, "SIGTERM")

    signal.signal(signal.SIGTERM, ask)


def report(directory: Path, recipe: Recipe, container: dict[str, Any]) -> None:
    """Atomically, as our own launchers do."""
    address = address_of(recipe, container)
    if address is None:
        return
    temporary = directory / "report.tmp"
    temporary.write_text(
        json.dumps({"address": address, "pid": container["State"]["Pid"], "version": recipe.version})
    )
    temporary.replace(directory / "report.json")


def address_of(recipe: Recipe, container: dict[str, Any]) -> str | None:
    """On the network that we share with it, else on loopback by the port that the engine chose."""
    settings = container["NetworkSettings"]
    if recipe.network is not None:
        return f"http://{settings['Networks'][recipe.network]['IPAddress']}:{recipe.port}"
    published = (settings.get("Ports") or {}).get(f"{recipe.port}/tcp")
    return f"http://{published[0]['HostIp']}:{published[0]['HostPort']}" if published else None


def ended_as(code: int, container: dict[str, Any]) -> int:
    """A server that a signal ended ends this process by it too, so that who watches sees the same."""
    if container["State"].get("OOMKilled"):
        say("out of memory: the container reached its memory limit")
        return code
    if code > 128 and code - 128 in set(signal.Signals):
        number = signal.Signals(code - 128)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
