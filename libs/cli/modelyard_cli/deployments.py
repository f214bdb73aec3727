"""What commands do with deployments: name them, find them, wait for them."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelyard_contracts.failures import HOPELESS

from modelyard_cli.client import Api, Json
from modelyard_cli.errors import CliError, UsageError

REPOSITORY = re.compile(r"^[\w.-]+/[\w.-]+$")
POLL_S = 0.25


def source_fields(source: str, file: str | None) -> Json:
    """The fields that say where a model comes from: a path if there is one or it looks like one.

    Raises `UsageError`.
    """
    path = Path(source).expanduser()
    looks_like_path = source.startswith(("/", ".", "~")) or source.endswith(".gguf")
    if path.exists() or looks_like_path:
        return {"source": "local_path", "local_path": str(path.absolute())}
    if REPOSITORY.match(source):
        fields: Json = {"source": "huggingface", "huggingface_repo_id": source}
        return fields if file is None else {**fields, "huggingface_filename": file}
    raise UsageError(
        f"{source!r} is neither a path that exists here nor a Hugging Face repository.",
        hint="Give a path such as /models/a.gguf or a repository such as Qwen/Qwen3-0.6B-GGUF.",
    )


def name_from(source: str) -> str:
    """A deployment's name made from its source: the last part, without what names may not hold."""
    last = source.rstrip("/").rsplit("/", 1)[-1].removesuffix(".gguf")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("._-").lower()[:63]
    return name or "model"


def assignments(pairs: list[str], flag: str) -> dict[str, str]:
    """`["K=V"]` as a mapping. Raises `UsageError`."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise UsageError(f"{flag} takes NAME=VALUE, not {pair!r}.")
        found[key] = value
    return found


def find(api: Api, name: str) -> Json:
    """Raises `CliError` if no deployment is called so."""
    found = find_or_none(api, name)
    if found is None:
        raise CliError(f"There is no deployment {name!r}.", hint="'modelyard ls' shows those there are.")
    return found


def replicas_before(api: Api, model: Json) -> int:
    """How many it has, or had until it was stopped."""
    if model["replicas"]:
        return int(model["replicas"])
    asked = {"subject": f"deployment/{model['id']}", "type": "DeploymentScaled", "order": "desc", "limit": 1}
    scaled = api.get("/v2/events", **asked)["items"]
    return int(scaled[0]["data"]["previous_replicas"]) if scaled else 1


def find_or_none(api: Api, name: str) -> Json | None:
    matches = api.items("/v2/models", search=name)
    return next((model for model in matches if model["name"] == name), None)


def instances_of(api: Api, model_id: int) -> list[Json]:
    items: list[Json] = api.get(f"/v2/models/{model_id}/instances")["items"]
    return sorted(items, key=lambda instance: instance["id"])


def wait_until_running(api: Api, model_id: int, *, timeout_s: float, tell: Callable[[str], None]) -> None:
    """Until as many instances run as are wished for; says each change.

    Raises `CliError` on time-out, and at once where one fails of what starting again does not mend.
    """
    said: dict[int, str] = {}
    deadline = time.monotonic() + timeout_s
    while True:
        model: dict[str, Any] = api.get(f"/v2/models/{model_id}")
        instances = instances_of(api, model_id)
        for instance in instances:
            words = progress(instance)
            if said.get(instance["id"]) != words:
                said[instance["id"]] = words
                tell(words)
        running = sum(instance["state"] == "running" for instance in instances)
        if running >= model["replicas"]:
            return
        hint = f"'modelyard logs {model['name']}' shows what its model server says."
        lost = [one for one in instances if one.get("given_up") or one.get("failure_cause") in HOPELESS]
        if lost:
            raise CliError(f"{model['name']} does not run: {progress(lost[0])}", hint=hint)
        if time.monotonic() > deadline:
            why = "; ".join(said.values()) or "it has no instance yet"
            raise CliError(f"{model['name']} does not run after {timeout_s:g} s: {why}", hint=hint)
        time.sleep(POLL_S)


def progress(instance: Json) -> str:
    """One line on where an instance is."""
    message = (instance.get("state_message") or "").strip()
    first = message.splitlines()[0] if message else ""
    return f"{instance['name']}: {instance['state']}" + (f" ({first})" if first else "")
