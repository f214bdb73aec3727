"""An explanation in lines for people."""

from typing import Any

from modelyard_cli.commands.explain import lines

CANDIDATE = {
    "worker": "w1",
    "devices": ["cuda:0"],
    "score": 90.5,
    "parts": {"workers": 50.0, "devices": 40.5},
}
DECISION = {"policy": "spread/2", "decided_at_seq": 41, "best": [CANDIDATE], "against": [], "workers": 9}
NAMES = {1: "w1", 2: "w2"}
NOW = {"at_seq": 50, "workers_in_all": 2, "verdicts": [], "remedies": []}


def told(**changes: Any) -> list[str]:
    base = {
        "name": "chat-abcde",
        "state": "running",
        "worker_name": "w1",
        "state_message": None,
        "message": None,
    }
    return list(lines({**base, "decision": None, "now": NOW, **changes}, NAMES))


VERDICT: dict[str, Any] = {"needed": None, "available": None, "score": None, "parts": {}}
FITS = {**VERDICT, "check": None, "score": 90.5, "parts": {"workers": 50.0}}
SMALL = {**VERDICT, "check": "vram", "needed": 24 * 1024**3, "available": 1024**3}


def test_a_placement_is_told_with_its_scores_and_what_stood_against_the_others() -> None:
    verdicts = [
        {**FITS, "members": [{"devices": ["cuda:0"], "workers": [[1, 1]]}]},
        {**SMALL, "available_most": 2 * 1024**3, "members": [{"devices": [], "workers": [[2, 9]]}]},
    ]
    decision = {
        "type": "InstanceScheduled",
        "sequence": 42,
        "worker_name": "w1",
        "claim": {"ram_bytes": 1024**3, "vram_bytes": {"cuda:0": 24 * 1024**3}},
        "decision": {**DECISION, "verdicts": verdicts},
    }
    assert told(decision=decision)[:7] == [
        "chat-abcde: running on w1",
        "  Placed on w1, decided by spread/2 at sequence 42, on the log up to 41.",
        "    takes cuda:0 24.0 GiB, 1.0 GiB of main memory",
        "    chosen: w1 cuda:0, score 90.50 (workers 50.00, devices 40.50)",
        "  When this was decided, of 9 workers:",
        "    w1 cuda:0: fits, score 90.50 (workers 50.00)",
        "    w2, worker 3, worker 4 and 5 more: vram: has 1.0 GiB to 2.0 GiB, 24.0 GiB needed",
    ]


def test_an_instance_in_error_says_why() -> None:
    assert (
        told(state="error", state_message="bad argument: --nix")[0]
        == "chat-abcde: error on w1: bad argument: --nix"
    )


def test_every_device_is_told_of_where_that_is_asked_for() -> None:
    decision = {
        "type": "InstanceUnschedulable",
        "sequence": 42,
        "reasons": [],
        "decision": {**DECISION, "verdicts": []},
        "looks": [
            {**FITS, "worker_id": 1, "worker": "w1", "device": None},
            {**SMALL, "worker_id": 2, "worker": "w2", "device": "cuda:3"},
            {**SMALL, "worker_id": 3, "worker": None, "device": "cuda:0"},
        ],
    }
    assert told(decision=decision)[2:6] == [
        "  Each of 9 workers when this was decided:",
        "    w1: fits, score 90.50 (workers 50.00)",
        "    w2 cuda:3: vram: has 1.0 GiB, 24.0 GiB needed",
        "    worker 3 cuda:0: vram: has 1.0 GiB, 24.0 GiB needed",
    ]


def test_what_would_make_it_fit_is_told() -> None:
    decision = {
        "type": "InstanceUnschedulable",
        "sequence": 42,
        "reasons": [{"message": "w1 is too small"}],
        "decision": {**DECISION, "verdicts": []},
    }
    remedy = {"message": "with --max-model-len=8192 it fits on w1"}
    found = told(decision=decision, state="pending", worker_name=None, now={**NOW, "remedies": [remedy]})
    assert found[0] == "chat-abcde: pending"
    assert "    w1 is too small" in found
    assert found[-2:] == ["  What would make it fit:", "    with --max-model-len=8192 it fits on w1"]


def test_without_a_scheduler_the_decision_is_told_and_why_the_rest_is_not() -> None:
    found = told(now=None, message="the scheduler is not connected")
    assert found == [
        "chat-abcde: running on w1",
        "  No placement was decided yet.",
        "  How it stands now is not known: the scheduler is not connected",
    ]
