from modelyard_api.projections.claims import claim_view, devices_view, distributed_view, taken_view
from modelyard_contracts.deployments import Claim, Subordinate

CLAIM = Claim(ram_bytes=7, vram_bytes={"cuda:10": 5, "cuda:2": 4}, fraction=0.9, total_layers=32)


def test_a_claim_is_shown_by_the_indexes_of_its_devices() -> None:
    view = devices_view(CLAIM)
    assert (view["gpu_type"], view["gpu_indexes"]) == ("cuda", [2, 10])
    assert view["computed_resource_claim"] == claim_view(CLAIM)
    assert view["computed_resource_claim"]["vram"] == {"2": 4, "10": 5}
    assert view["computed_resource_claim"]["vram_utilization"] == 0.9


def test_an_instance_in_main_memory_has_no_devices() -> None:
    assert devices_view(Claim(ram_bytes=7))["gpu_type"] is None
    assert devices_view(Claim(ram_bytes=7))["gpu_indexes"] == []


def test_an_instance_on_several_workers_names_its_subordinates() -> None:
    assert distributed_view(()) is None
    found = distributed_view([Subordinate(worker_id=3, worker_name="b", claim=CLAIM)])
    assert found is not None
    [worker] = found["subordinate_workers"]
    assert (worker["worker_id"], worker["name"], worker["total_gpus"]) == (3, "b", 2)
    assert worker["gpu_indexes"] == [2, 10]


def test_devices_of_two_types_on_one_worker_are_kept_apart() -> None:
    assert taken_view(Claim(vram_bytes={"cuda:0": 1, "rocm:0": 2}))["vram"] == {"cuda:0": 1, "rocm:0": 2}
