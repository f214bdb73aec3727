from dataclasses import replace
from typing import Any

from modelyard_placement.cluster import read_cluster
from modelyard_placement.demand import Demand
from modelyard_placement.evaluation import evaluate, evaluation_view, failed_view
from modelyard_placement_world import GIB, demand, sizer


def cluster(*free_gib: int) -> Any:
    """A worker with one device in each cluster."""
    workers = [
        {
            "name": f"w{ident}",
            "cluster_id": ident,
            "status": {
                "memory": {"total": 64 * GIB},
                "gpu_devices": [{"type": "cuda", "index": 0, "memory": {"total": gib * GIB}}],
            },
        }
        for ident, gib in enumerate(free_gib, start=1)
    ]
    return read_cluster({"workers": workers})


def view(there: Any, wanted: Demand, *idents: int) -> dict[str, Any]:
    demands = [replace(wanted, cluster_id=ident) for ident in idents]
    return evaluation_view(evaluate(there, demands, sizer()), {"name": "chat"})


def test_without_a_cluster_every_one_is_tried() -> None:
    found = view(cluster(2, 8), demand(4), 1, 2)
    assert found["compatible"]
    assert found["cluster_id"] == 2
    assert found["resource_claim"] == {"ram": GIB // 4, "vram": 4 * GIB}
    assert list(found["resource_claim_by_cluster_id"]) == ["2"]
    assert found["instances"][0]["placement"]["worker"] == "w2"
    assert found["scheduling_messages"] == []


def test_of_equal_workers_the_one_with_the_files_is_taken() -> None:
    workers = [worker.model_dump() for worker in cluster(8, 8).workers]
    same = [{**worker, "cluster_id": 1} for worker in workers]
    files = [{"worker_name": "w2", "huggingface_repo_id": "org/repo", "state": "ready"}]
    found = view(read_cluster({"workers": same, "model_files": files}), demand(4), 1)
    assert found["instances"][0]["placement"]["worker"] == "w2"
    found = view(read_cluster({"workers": same}), demand(4), 1)
    assert found["instances"][0]["placement"]["worker"] == "w1"


def test_all_replicas_must_fit() -> None:
    assert view(cluster(8), demand(4, replicas=2), 1)["compatible"]
    found = view(cluster(8), demand(4, replicas=3), 1)
    assert not found["compatible"]
    assert [("placement" in one) for one in found["instances"]] == [True, True, False]
    assert found["scheduling_messages"] == ["cuda:0 of w1 has 0.00 GiB of 8.00 GiB free, 4.00 GiB are needed"]


def test_what_no_freed_room_changes_is_a_matter_of_compatibility() -> None:
    found = view(cluster(8), demand(1, "MindIE"), 1)
    assert not found["compatible"]
    assert found["scheduling_messages"] == []
    assert "MindIE runs on cann" in found["compatibility_messages"][0]


def test_what_cannot_be_evaluated_says_why() -> None:
    found = failed_view("no such repository", {"name": "chat"})
    assert (found["error"], found["error_message"], found["compatible"]) == (
        True,
        "no such repository",
        False,
    )
