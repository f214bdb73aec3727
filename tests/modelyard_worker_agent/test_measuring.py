"""What a model server is found to hold, once it has served for a while."""

from pathlib import Path

from modelyard_worker_agent_world import Machine, spec_of, want


async def test_a_server_is_measured_once_a_start_beside_its_claim(machine: Machine, tiny_model: Path) -> None:
    wanted = want(spec_of(tiny_model))
    machine.start_agent(MODELYARD_MEASURE_AFTER_S="0.3")
    await machine.wish(wanted)

    fact = await machine.observe("InstanceMemoryMeasured")

    assert machine.story() == ["InstanceStarting", "InstanceRunning", "InstanceMemoryMeasured"]
    assert fact["model"] == str(tiny_model)
    assert fact["backend"] == "llama.cpp"
    assert fact["backend_version"] == machine.seen("InstanceRunning")[0]["backend_version"]
    assert fact["ram_bytes"] > tiny_model.stat().st_size
    assert 0 < fact["anonymous_bytes"] <= fact["ram_bytes"]
    assert fact["vram_bytes"] == {}
    assert fact["claim"] == wanted.claim.model_dump(mode="json")
    assert fact["served_s"] >= 0.3
