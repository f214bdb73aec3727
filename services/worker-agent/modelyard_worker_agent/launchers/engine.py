"""The Docker Engine API over its unix socket, as far as model servers need it."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from modelyard_worker_agent.launchers.pull_progress import PullProgress

KNOWN_API = (1, 52)
"""The newest that this was read against; all that is used here is in 1.40."""
SAY_S = 5.0
"""Between two lines of how far an image has come."""
PULL_SILENT_S = 600.0
"""For how long a registry may send nothing: a large layer is unpacked in between."""
RECIPE = "container.json"
LABEL = "modelyard"
RUN = f"{LABEL}.run"
"""The directory of the run, as its agent has it."""
AGENT = f"{LABEL}.agent"
"""Whose run it is: agents in containers have directories of the same names."""
MOST_LOG = {"max-size": "16m", "max-file": "2"}
Json = dict[str, Any]


class EngineError(Exception):
    """The engine is not there, or refused; the message says what was asked."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A container to be. `variables` are names only: values never lie on a disk."""

    socket: str
    image: str
    command: tuple[str, ...]
    entrypoint: tuple[str, ...]
    variables: tuple[str, ...]
    port: int
    mounts: dict[str, str]
    """Directories or files by their path inside, read-only; the value is the path as the engine has it."""
    devices: tuple[str, ...]
    """As in `cuda:0`."""
    memory_bytes: int
    """0: no limit."""
    labels: dict[str, str]
    network: str | None
    """A network that we are on too; None: the port is published on loopback."""
    version: str

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, directory: Path) -> "Recipe":
        kept: Json = json.loads((directory / RECIPE).read_text())
        for name in ("command", "entrypoint", "variables", "devices"):
            kept[name] = tuple(kept[name])
        return cls(**kept)


class Engine:
    """Each call blocks. Raises `EngineError`."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._version = ""

    def _client(self) -> httpx.Client:
        """One for each question: they are few, and nothing is left open."""
        if not self._version:
            with self._speaking("") as client:
                told: Json = client.get("/version").raise_for_status().json()
            self._version = api_version(str(told["ApiVersion"]), str(told["MinAPIVersion"]))
        return self._speaking(f"/v{self._version}")

    def _speaking(self, version: str) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=self._socket)
        return httpx.Client(transport=transport, base_url=f"http://docker{version}", timeout=60.0)

    def labelled(self, labels: Mapping[str, str]) -> list[str]:
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        found = self._json("GET", "/containers/json", params={"all": "1", "filters": json.dumps(filters)})
        return [container["Id"] for container in found]

    def have_image(self, image: str, say: Callable[[str], None]) -> None:
        if self._status("GET", f"/images/{image}/json") == 200:
            return
        say(f"pulling {image}")
        name, colon, tag = image.rpartition(":")
        params = {"fromImage": name, "tag": tag} if colon and "/" not in tag else {"fromImage": image}
        progress, said_at = PullProgress(), time.monotonic()
        try:
            for line in self._lines("POST", "/images/create", params=params, timeout=PULL_SILENT_S):
                told: Json = json.loads(line)
                if "error" in told:
                    raise EngineError(told["error"])
                progress.take(told)
                if progress.text() and time.monotonic() - said_at > SAY_S:
                    said_at = time.monotonic()
                    say(f"pulling {image}: {progress.text()}")
        except EngineError as error:
            raise EngineError(f"cannot get image {image}: {error}") from error
        say(f"pulled {image}")

    def mounts_of(self, container: str) -> dict[str, str]:
        """What a container sees of the engine's machine: by path inside, the path there."""
        return {mount["Destination"]: mount["Source"] for mount in self.inspect(container)["Mounts"]}

    def create(self, recipe: Recipe, env: Mapping[str, str]) -> str:
        made = self._json("POST", "/containers/create", json=body_of(recipe, env))
        return str(made["Id"])

    def start(self, ident: str) -> None:
        self._json("POST", f"/containers/{ident}/start")

    def inspect(self, ident: str) -> Json:
        found: Json = self._json("GET", f"/containers/{ident}/json")
        return found

    def running(self, ident: str) -> bool:
        return bool(self.inspect(ident)["State"]["Running"])

    def kill(self, ident: str, signal: str) -> None:
        self._json("POST", f"/containers/{ident}/kill", params={"signal": signal})

    def remove(self, ident: str) -> None:
        """Kills it if it runs. Returns when it is gone."""
        self._status("DELETE", f"/containers/{ident}", params={"force": "1", "v": "1"})
        while self._status("GET", f"/containers/{ident}/json") == 200:
            time.sleep(0.02)

    def pids(self, ident: str) -> list[int]:
        """Of its processes, as the host counts them."""
        told: Json = self._json("GET", f"/containers/{ident}/top", params={"ps_args": "-eo pid"})
        return [int(row[0]) for row in told.get("Processes") or []]

    def wait(self, ident: str) -> int:
        return int(self._json("POST", f"/containers/{ident}/wait", timeout=None)["StatusCode"])

    def copy_logs(self, ident: str, since: int, to: BinaryIO) -> None:
        """Until the container ends."""
        params = {"follow": "1", "stdout": "1", "stderr": "1", "since": str(since)}
        try:
            with (
                self._client() as client,
                client.stream("GET", f"/containers/{ident}/logs", params=params, timeout=None) as answer,
            ):
                for data in unframed(answer.iter_bytes()):
                    to.write(data)
                    to.flush()
        except httpx.HTTPError as error:
            raise EngineError(f"the logs of a container cannot be read: {error}") from error

    # --- how it is asked --------------------------------------------------------------------------

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            with self._client() as client:
                return client.request(method, path, **options)
        except httpx.HTTPError as error:
            self._version = ""  # it may be another engine that comes back
            raise EngineError(f"the container engine at {self._socket} does not answer: {error}") from error

    def _status(self, method: str, path: str, **options: Any) -> int:
        return self._ask(method, path, **options).status_code

    def _json(self, method: str, path: str, **options: Any) -> Any:
        answer = self._ask(method, path, **options)
        if answer.status_code >= 400:
            raise EngineError(f"the container engine refused {method} {path}: {_message(answer)}")
        return answer.json() if answer.content else None

    def _lines(self, method: str, path: str, **options: Any) -> Iterator[str]:
        try:
            with self._client() as client, client.stream(method, path, **options) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise EngineError(_message(answer))
                yield from (line for line in answer.iter_lines() if line)
        except httpx.HTTPError as error:
            raise EngineError(f"the container engine at {self._socket} does not answer: {error}") from error


def api_version(newest: str, oldest: str) -> str:
    """The newest version that both sides know; an engine that is too new for that is asked in its oldest."""
    ours, low, high = KNOWN_API, _numbers(oldest), _numbers(newest)
    return ".".join(str(number) for number in max(low, min(ours, high)))


def _numbers(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text or f"status {answer.status_code}"


def unframed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What was said on both streams: each piece has a header of 8 bytes, with its length in the last four."""
    data = b""
    for chunk in chunks:
        data += chunk
        while len(data) >= 8 and len(data) >= 8 + (length := int.from_bytes(data[4:8], "big")):
            yield data[8 : 8 + length]
            data = data[8 + length :]


def body_of(recipe: Recipe, env: Mapping[str, str]) -> Json:
    """No privileges, no network of the host, nothing to write but its own file system."""
    port = f"{recipe.port}/tcp"
    host: Json = {
        "Mounts": [
            {"Type": "bind", "Source": theirs, "Target": path, "ReadOnly": True}
            for path, theirs in recipe.mounts.items()
        ],
        "Memory": recipe.memory_bytes,
        "MemorySwap": recipe.memory_bytes,
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges"],
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "json-file", "Config": MOST_LOG},
        "Init": True,
        **devices_of(recipe.devices),
    }
    if recipe.network is not None:
        host["NetworkMode"] = recipe.network
    else:
        host["PortBindings"] = {port: [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    body: Json = {
        "Image": recipe.image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": recipe.labels,
        "ExposedPorts": {port: {}},
        "HostConfig": host,
    }
    if recipe.command:
        body["Cmd"] = list(recipe.command)
    if recipe.entrypoint:
        body["Entrypoint"] = list(recipe.entrypoint)
    return body


def devices_of(devices: tuple[str, ...]) -> Json:
    """What a container needs to see these devices and no others."""
    indexes = [device.rpartition(":")[2] for device in devices]
    match devices[0].partition(":")[0] if devices else "cpu":
        case "cuda":
            request = {"Driver": "nvidia", "DeviceIDs": indexes, "Capabilities": [["gpu"]]}
            return {"DeviceRequests": [request], "ShmSize": 8 * 2**30}
        case "rocm":
            nodes = [_node("/dev/kfd"), _node("/dev/dri")]
            return {"Devices": nodes, "GroupAdd": ["video", "render"], "ShmSize": 8 * 2**30}
        case "cann":
            names = [f"/dev/davinci{index}" for index in indexes]
            names += ["/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"]
            return {"Devices": [_node(name) for name in names], "ShmSize": 8 * 2**30}
        case _:
            return {}


def _node(path: str) -> Json:
    return {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"}
