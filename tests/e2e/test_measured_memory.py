"""What a running model server holds is kept beside what was estimated for it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from e2e.stack import Stack, deploy, instances, running, running_count, story, until_instances
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
        await asyncio.to_thread(shown_by_the_command_line, stack, row)


def shown_by_the_command_line(stack: Stack, row: dict[str, Any]) -> None:
    def said(*options: str, key: str = stack.key) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "modelyard_cli", "measured", "--url", stack.api_url, *options]
        env = {**os.environ, "MODELYARD_API_KEY": key, "HOME": str(stack.directory)}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert json.loads(said("--output", "json").stdout) == [row]
    head, line = said().stdout.splitlines()
    assert head.split()[-5:] == ["ESTIMATED", "MEASURED", "ERROR", "UNDER", "OVER"]
    assert line.split()[:5] == [row["model"], "llama.cpp", row["backend_version"], "1", "ram"]
    assert f"{row['ram']['mean_error_percent']:.1f} %" in line
    refused = said(key="modelyard_a_b")
    assert refused.returncode == 1
    assert refused.stderr.startswith("modelyard: ")
