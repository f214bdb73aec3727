"""Against a local server that speaks the hubs' protocols, with the hubs' own clients."""

import asyncio
import json
import shutil
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hub_server import Hub, hub_server, safetensors
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.models import ModelCoordinates, coordinates_of
from modelyard_worker_agent.adapters import models
from modelyard_worker_agent.adapters.fetching import LOG_PART_BYTES, open_log
from modelyard_worker_agent.adapters.logfiles import StartLog
from modelyard_worker_agent.adapters.models import Fetching, ModelStore
from modelyard_worker_agent.domain.fetching import FetchPlan
from modelyard_worker_agent.launchers.shim import log_parts
from modelyard_worker_agent.ports import DownloadFailed, ModelMissing
from waiting import until

SMALL, LARGE = b"small model" * 1000, b"a bigger model" * 2_000_000
BOTH = pytest.mark.parametrize("source", [Source.HUGGINGFACE, Source.MODEL_SCOPE])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MODELSCOPE_DOWNLOAD_RETRY_TIMES", "3")
    with hub_server() as made:
        made.add("org/tiny", {"README.md": b"hi", "tiny-Q4_K_M.gguf": SMALL, "tiny-Q8_0.gguf": LARGE})
        made.add(
            "org/whole",
            {
                "config.json": b"{}",
                "tokenizer.json": b"{}",
                ".gitattributes": b"",
                "model.safetensors": safetensors({"a": ("F32", (4,))}),
                "pytorch_model.bin": b"the same again",
                "onnx/model.onnx": b"and again",
                "logo.png": b"",
            },
        )
        yield made


def spec(
    source: Source = Source.HUGGINGFACE, repo: str = "org/tiny", file: str | None = None
) -> DeploymentSpec:
    if source is Source.MODEL_SCOPE:
        return DeploymentSpec(source=source, model_scope_model_id=repo, model_scope_file_path=file)
    return DeploymentSpec(source=source, huggingface_repo_id=repo, huggingface_filename=file)


@dataclass
class News:
    heard: list[str] = field(default_factory=list)

    def downloading(self, model: ModelCoordinates, plan: FetchPlan) -> None:
        self.heard.append(f"downloading {model.location()}")

    def downloaded(self, model: ModelCoordinates, plan: FetchPlan, served: Path) -> None:
        self.heard.append(f"downloaded {model.location()}")

    def failed(self, model: ModelCoordinates, why: str) -> None:
        self.heard.append(f"failed {model.location()}: {why}")

    def deleted(self, model: ModelCoordinates) -> None:
        self.heard.append(f"deleted {model.location()}")

    def evicted(self, model: ModelCoordinates, to_make_room_for: ModelCoordinates) -> None:
        self.heard.append(f"evicted {model.location()}")


@dataclass
class World:
    directory: Path
    url: str
    told: int = 0
    news: News = field(default_factory=News)
    used: set[str] = field(default_factory=set)

    def store(
        self,
        *,
        quota: int = 0,
        free: Callable[[Path], int] = lambda _: 1 << 40,
        token: str | None = None,
        at_once: int = 4,
    ) -> ModelStore:
        hub = models.Hub(self.url, token)
        hubs = {Source.HUGGINGFACE: hub, Source.MODEL_SCOPE: hub}
        fetching = Fetching(hubs, quota_bytes=quota, at_once=at_once, free_bytes=free)

        def in_use() -> Collection[str]:
            return self.used

        return ModelStore(self.directory, fetching, self.news, in_use)

    async def downloading(self) -> None:
        self.told += 1

    async def get(self, wanted: DeploymentSpec, store: ModelStore | None = None) -> Path:
        return await (store or self.store()).resolve(coordinates_of(wanted), self.downloading)


@pytest.fixture
def world(hub: Hub, tmp_path: Path) -> World:
    return World(tmp_path / "models", hub.url)


def got(hub: Hub, name: str) -> int:
    """How often a file's content was asked for."""
    return sum(
        times for path, times in hub.asked.items() if path.startswith("GET") and path.endswith(f"/{name}")
    )


@BOTH
async def test_the_file_is_fetched_and_the_download_told_once(world: World, source: Source) -> None:
    path = await world.get(spec(source, file="*Q8*"))

    assert path.read_bytes() == LARGE
    assert world.told == 1
    assert world.news.heard == ["downloading org/tiny/*Q8*", "downloaded org/tiny/*Q8*"]


async def test_what_a_download_did_is_in_a_log_of_its_own(world: World) -> None:
    at, store = coordinates_of(spec()), world.store()
    await world.get(spec(), store)

    _, text = StartLog(store.kept.log(at.model_id())).read(0, 10_000)

    assert f"files: 1, bytes: {len(SMALL)}, revision: " in text.decode()
    assert "tiny-Q4_K_M.gguf is here\n" in text.decode()
    assert text.decode().endswith("every file is here and has the right checksum\n")


def test_the_log_of_many_tries_is_kept_in_two_parts(tmp_path: Path) -> None:
    for _ in range(9):
        with open_log(tmp_path).open("ab") as said:
            said.write(b"line\n" * (LOG_PART_BYTES // 10))

    parts = [path.name for _, path in log_parts(tmp_path)]
    assert len(parts) == 2
    assert StartLog(tmp_path).size == 9 * 5 * (LOG_PART_BYTES // 10)
    assert StartLog(tmp_path).kept_bytes < 3 * LOG_PART_BYTES


async def test_without_a_name_it_is_the_smallest_that_is_good(world: World) -> None:
    assert (await world.get(spec())).name == "tiny-Q4_K_M.gguf"


async def test_a_split_model_comes_with_all_its_parts_and_its_projector(hub: Hub, world: World) -> None:
    parts = {f"big/m-F16-0000{n}-of-00003.gguf": bytes([n]) * n for n in (1, 2, 3)}
    hub.add("org/split", {**parts, "big/mmproj-F16.gguf": b"p", "m-F32.gguf": b"other"})

    path = await world.get(spec(repo="org/split", file="*F16*"))

    assert path.name == "m-F16-00001-of-00003.gguf"
    assert sorted(each.name for each in path.parent.iterdir()) == [
        *(f"m-F16-0000{n}-of-00003.gguf" for n in (1, 2, 3)),
        "mmproj-F16.gguf",
    ]


@BOTH
async def test_a_whole_repository_comes_without_what_is_not_loaded(world: World, source: Source) -> None:
    path = await world.get(spec(source, "org/whole"))

    there = {str(each.relative_to(path)) for each in path.rglob("*") if each.is_file()}
    assert there == {"config.json", "tokenizer.json", "model.safetensors"}


async def test_what_was_fetched_is_served_again_while_the_hub_is_away(hub: Hub, world: World) -> None:
    first = await world.get(spec(file="*Q4*"))
    asked = hub.asked.total()

    assert await world.get(spec(file="*Q4*")) == first
    assert (hub.asked.total(), world.told) == (asked, 1)


async def test_what_was_deleted_is_fetched_again(world: World) -> None:
    (await world.get(spec())).unlink()

    assert (await world.get(spec())).read_bytes() == SMALL


async def test_two_instances_that_wait_for_a_model_fetch_it_once(hub: Hub, world: World) -> None:
    store = world.store()

    paths = await asyncio.gather(*(world.get(spec(file="*Q8*"), store) for _ in range(3)))

    assert len(set(paths)) == 1
    assert got(hub, "tiny-Q8_0.gguf") == 1


@BOTH
async def test_a_body_that_ends_too_early_is_taken_up_where_it_ended(
    hub: Hub, world: World, source: Source
) -> None:
    trouble = "tiny-Q8_0.gguf"
    path = f"resolve/{hub.repos['org/tiny'].commit()}/{trouble}" if source is Source.HUGGINGFACE else trouble
    hub.trouble(path, truncated=True, times=1)

    assert (await world.get(spec(source, file="*Q8*"))).read_bytes() == LARGE
    assert hub.bytes_sent < 1.1 * len(LARGE)


@BOTH
async def test_a_hub_that_takes_no_more_requests_is_asked_again_later(
    hub: Hub, world: World, source: Source
) -> None:
    trouble = hub.trouble("tiny-Q4_K_M.gguf", status=429, headers={"Retry-After": "1"}, times=2)

    assert (await world.get(spec(source))).read_bytes() == SMALL
    assert trouble.times == 0


@BOTH
async def test_what_has_a_wrong_checksum_is_never_served(hub: Hub, world: World, source: Source) -> None:
    hub.trouble("tiny-Q4_K_M.gguf", body=b"x" * len(SMALL))

    with pytest.raises(DownloadFailed, match=r"another checksum than the hub says|Hash mismatch"):
        await world.get(spec(source))

    assert not list(world.directory.rglob("*.gguf"))
    assert world.news.heard[-1].startswith("failed org/tiny")


async def test_a_checksum_that_is_wrong_once_costs_a_second_try(hub: Hub, world: World) -> None:
    hub.trouble("tiny-Q4_K_M.gguf", body=b"x" * len(SMALL), times=1)

    assert (await world.get(spec())).read_bytes() == SMALL


@BOTH
async def test_a_gated_model_says_what_to_do_and_comes_with_a_token(
    hub: Hub, world: World, source: Source
) -> None:
    hub.add("org/gated", {"m.gguf": b"secret"}, token="hf_open")

    with pytest.raises(DownloadFailed, match=r"gated.*token"):
        await world.get(spec(source, "org/gated", "m.gguf"))

    path = await world.get(spec(source, "org/gated", "m.gguf"), world.store(token="hf_open"))
    assert path.read_bytes() == b"secret"
    record = (path.parents[1] / "model.json").read_text() + (path.parents[1] / "log" / "log.txt").read_text()
    assert "hf_open" not in record


@BOTH
async def test_a_deployments_own_token_stands_in_for_the_workers(
    hub: Hub, world: World, source: Source
) -> None:
    hub.add("org/gated", {"m.gguf": b"secret"}, token="hf_mine")
    store = world.store(token="hf_of_all")

    at = coordinates_of(spec(source, "org/gated", "m.gguf"))
    path = await store.resolve(at, world.downloading, "hf_mine")

    assert path.read_bytes() == b"secret"
    assert "hf_of_all" not in hub.tokens


async def test_a_hub_that_is_away_is_said(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(DownloadFailed, match="org/tiny cannot be fetched from Hugging Face"):
        await World(tmp_path, url).get(spec())


@BOTH
async def test_a_repository_that_is_not_there_is_said(world: World, source: Source) -> None:
    with pytest.raises(ModelMissing, match="org/none"):
        await world.get(spec(source, "org/none"))


async def test_a_file_that_is_not_there_is_said(world: World) -> None:
    with pytest.raises(ModelMissing, match=r"tiny-Q4_K_M\.gguf"):
        await world.get(spec(file="*Q5*"))


async def test_a_file_that_would_leave_its_directory_is_refused(hub: Hub, world: World) -> None:
    hub.add("org/evil", {"../../evil.gguf": b"x"})

    with pytest.raises(DownloadFailed, match="leads out of its directory"):
        await world.get(spec(repo="org/evil"))


# --- interrupted -------------------------------------------------------------------------------------


@BOTH
async def test_a_download_ends_with_the_last_wish_for_it_and_is_taken_up_again(
    hub: Hub, world: World, source: Source
) -> None:
    stalled = threading.Event()
    name = "resolve/" if source is Source.HUGGINGFACE else "FilePath=tiny-Q8"
    trouble = hub.trouble(name, stalled=stalled)
    store = world.store()
    waiting = [asyncio.create_task(world.get(spec(source, file="*Q8*"), store)) for _ in range(2)]
    await asyncio.to_thread(stalled.wait, 20)
    await until(lambda: any(each.done_bytes > len(LARGE) // 4 for each in store.downloads()), 20)

    waiting[0].cancel()
    await asyncio.wait({waiting[0]})
    assert store.downloads(), "another still waits for it"
    waiting[1].cancel()
    await asyncio.wait({waiting[1]}, timeout=5)
    assert not store.downloads()

    trouble.times = 0
    sent = hub.bytes_sent
    assert (await world.get(spec(source, file="*Q8*"))).read_bytes() == LARGE
    assert hub.bytes_sent - sent < len(LARGE)


async def test_progress_is_told_in_bytes_with_what_is_still_to_come(hub: Hub, world: World) -> None:
    stalled = threading.Event()
    hub.trouble("resolve/", stalled=stalled)
    store = world.store()
    waiting = asyncio.create_task(world.get(spec(file="*Q8*"), store))
    await until(lambda: any(each.done_bytes > 0 for each in store.downloads()), 20)

    (seen,) = store.downloads()

    assert seen.model_id == coordinates_of(spec(file="*Q8*")).model_id()
    assert 0 < seen.done_bytes < seen.total_bytes == len(LARGE)
    assert seen.bytes_per_s is not None
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=5)


async def test_no_more_models_come_at_a_time_than_may(hub: Hub, world: World) -> None:
    stalled = threading.Event()
    hub.trouble("org/tiny/resolve/", stalled=stalled)
    store = world.store(at_once=1)
    first = asyncio.create_task(world.get(spec(), store))
    await asyncio.to_thread(stalled.wait, 20)

    second = asyncio.create_task(world.get(spec(repo="org/whole"), store))
    await until(lambda: len(store.downloads()) == 2)

    assert not any("org/whole" in path for path in hub.asked)
    first.cancel()
    assert (await second / "model.safetensors").exists()


# --- room --------------------------------------------------------------------------------------------


async def test_a_model_that_the_disk_cannot_take_is_not_even_begun(hub: Hub, world: World) -> None:
    with pytest.raises(DownloadFailed, match=rf"needs {len(LARGE)} bytes more, and 5000 are free"):
        await world.get(spec(file="*Q8*"), world.store(free=lambda _: 5000))

    assert got(hub, "tiny-Q8_0.gguf") == 0


async def test_a_disk_that_is_filled_meanwhile_is_told_from_a_fault_of_the_hub(world: World) -> None:
    parts = world.directory / coordinates_of(spec()).model_id() / "files" / ".parts"
    parts.mkdir(parents=True)
    (parts / "tiny-Q4_K_M.gguf").symlink_to("/dev/full")

    with pytest.raises(DownloadFailed, match=rf"No space left .*: of {len(SMALL)} bytes .* are free"):
        await world.get(spec())


async def test_the_quota_evicts_the_least_used_and_never_what_is_in_use(hub: Hub, world: World) -> None:
    for name in ("a", "b", "c", "d"):
        hub.add(f"org/{name}", {"m.gguf": name.encode() * 40_000})
    store = world.store(quota=130_000)
    paths = {name: await world.get(spec(repo=f"org/{name}"), store) for name in ("a", "b", "c")}
    await world.get(spec(repo="org/a"), store)
    world.used = {coordinates_of(spec(repo="org/b")).model_id()}

    await world.get(spec(repo="org/d"), store)

    assert [name for name, path in paths.items() if path.exists()] == ["a", "b"]
    assert "evicted org/c" in world.news.heard
    world.used = {ident for ident, _ in store.kept.all()}
    hub.add("org/e", {"m.gguf": b"e" * 40_000})
    with pytest.raises(DownloadFailed, match="models take 120000 of the 130000 that they may"):
        await world.get(spec(repo="org/e"), store)


async def test_the_disk_has_room_for_what_is_free_and_what_would_give_way(hub: Hub, world: World) -> None:
    hub.add("org/a", {"m.gguf": b"a" * 40_000})
    store = world.store(quota=130_000, free=lambda _: 100_000)
    assert store.disk_use().room_bytes == 100_000
    await world.get(spec(repo="org/a"), store)
    assert store.disk_use().room_bytes == 130_000
    world.used = {ident for ident, _ in store.kept.all()}
    assert store.disk_use().room_bytes == 90_000
    disk = store.disk()
    assert (disk.total_bytes, disk.quota_bytes) == (shutil.disk_usage(world.directory).total, 130_000)
    assert Path(disk.mount_point).is_mount()


async def test_a_record_that_cannot_be_read_counts_for_nothing(world: World) -> None:
    path = await world.get(spec())
    (path.parents[1] / "model.json").write_text(json.dumps({"of": "another version"}))

    assert await world.get(spec()) == path
