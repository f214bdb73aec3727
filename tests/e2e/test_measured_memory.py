"""What a running model server holds is kept beside what was estimated for it."""

from pathlib import Path
from typing import Any

from e2e.stack import deploy, instances, running, running_count, story, until_instances
from waiting import until_async


async def test_a_served_model_is_measured_and_its_estimate_was_enough(tiny_model: Path) -> None:
    async with running(environment={"MODELYARD_MEASURE_AFTER_S": "1"}) as stack, stack.client() as api:
        model = await deploy(api, tiny_model, "measured")
        await until_instances(api, model["id"], running_count(1))

        async def report() -> list[dict[str, Any]]:
            return list((await api.get("/v2/model-memory")).json()["items"])

        async def reported() -> bool:
            return bool(await report())

        await until_async(reported, seconds=40)

        (row,) = await report()
        (instance,) = await instances(api, model["id"])
        facts = [one for one in await story(api, f"deployment/{model['id']}") if "Measured" in one["type"]]
        assert [one["type"] for one in facts] == ["InstanceMemoryMeasured"]
        assert facts[0]["data"]["ram_bytes"] == row["ram"]["measured"]
        assert (row["model"], row["backend"], row["measurements"]) == (str(tiny_model), "llama.cpp", 1)
        assert row["backend_version"] == instance["backend_version"]
        assert row["ram"]["estimated"] == instance["computed_resource_claim"]["ram"]
        assert row["ram"]["worst_under_percent"] == 0
        assert row["vram"] is None
