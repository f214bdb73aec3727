"""What a machine's devices look like over the API, and how busy they are."""

import asyncio
from pathlib import Path

import httpx
from e2e.stack import Json, Stack, running
from fake_nvml import GIB, FakeNvml, Gpu, build
from waiting import until_async


async def test_devices_and_how_busy_they_are_are_shown(tmp_path: Path) -> None:
    nvml = FakeNvml(build(tmp_path), tmp_path / "nvml.txt")
    busy = [f"process 1 {3 * GIB}"]
    nvml.say([Gpu("GPU-a"), Gpu("GPU-b", used=4 * GIB, busy=80, lines=busy)])
    environment = {**nvml.environment(), "MODELYARD_TELEMETRY_S": "0.2", "MODELYARD_WORKER_NAME": "box"}
    async with running(environment=environment) as stack, stack.client() as api:
        seen: list[Json] = []

        async def told() -> bool:
            seen[:] = (await api.get("/v2/gpu-devices", params={"page": -1})).json()["items"]
            return len(seen) == 2 and seen[1]["memory"]["used"] is not None

        await until_async(told, 60)
        first, second = seen
        worker = (await api.get("/v2/workers")).json()["items"][0]

        assert worker["status"]["cpu"]["utilization_rate"] is not None
        assert 0 < worker["status"]["memory"]["utilization_rate"] < 100
        assert worker["status"]["gpu_devices"][1]["memory"]["used"] == 4 * GIB
        assert first["id"] == f"{worker['name']}:cuda:0"
        assert first["unmanaged"] == {"memory": 0, "processes": []}
        assert (second["worker_id"], second["cluster_id"]) == (worker["id"], worker["cluster_id"])
        assert (second["core"]["utilization_rate"], second["temperature"]) == (80.0, 34.0)
        assert (second["power"], second["power_used"]) == (700, 71.5)
        assert second["memory"] == {
            "total": 80 * GIB,
            "used": 4 * GIB,
            "utilization_rate": 5.0,
            "allocated": 0,
            "is_unified_memory": False,
        }
        assert second["unmanaged"]["memory"] == 3 * GIB
        assert [process["pid"] for process in second["unmanaged"]["processes"]] == [1]
        await _lists_and_refusals(api, second)


async def _lists_and_refusals(api: httpx.AsyncClient, second: Json) -> None:
    one = await api.get(f"/v2/gpu-devices/{second['id']}")
    assert one.json()["uuid"] == "GPU-b"
    page = (await api.get("/v2/gpu-devices", params={"perPage": 1, "page": 2})).json()
    assert [item["uuid"] for item in page["items"]] == ["GPU-b"]
    assert page["pagination"] == {"page": 2, "perPage": 1, "total": 2, "totalPage": 2}
    none = await api.get("/v2/gpu-devices", params={"type": "rocm"})
    assert none.json()["items"] == []
    assert (await api.get("/v2/gpu-devices/box:cuda:7")).status_code == 404
    refused = await api.get("/v2/gpu-devices", params={"colour": "red"})
    assert (refused.status_code, refused.json()["message"][:6]) == (422, "colour")


async def test_a_worker_is_drained_and_resumed_from_the_command_line(
    stack: Stack, api: httpx.AsyncClient
) -> None:
    [worker] = (await api.get("/v2/workers")).json()["items"]

    async def maintenance() -> Json:
        shown: Json = (await api.get(f"/v2/workers/{worker['id']}")).json()["maintenance"]
        return shown

    done = await asyncio.to_thread(stack.shell, "worker", "drain", worker["name"], "--message", "new disks")
    assert done.returncode == 0, done.stderr
    assert (await maintenance())["enabled"] is True
    assert (await maintenance())["message"] == "new disks"
    again = await asyncio.to_thread(stack.shell, "worker", "resume", worker["name"])
    assert again.returncode == 0, again.stderr
    assert (await maintenance())["enabled"] is False
    unknown = await asyncio.to_thread(stack.shell, "worker", "drain", "nobody")
    assert unknown.returncode != 0
    assert "There is no worker 'nobody'" in unknown.stderr
