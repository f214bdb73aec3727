"""An explanation in lines for people."""

from typing import Any

from modelyard_cli.commands.explain import lines

CANDIDATE = {
    "worker": "w1",
    "devices": ["cuda:0"],
    "score": 90.5,
    "parts": {"workers": 50.0, "devices": 40.5},
}
DECISION = {"policy": "spread/2", "decided_at_seq": 41, "best": [CANDIDATE], "against": []}
NOW = {"at_seq": 50, "workers_in_all": 2, "verdicts": [], "remedies": []}


def told(**changes: Any) -> list[str]:
    base = {"name": "chat-abcde", "state": "running", "worker_name": "w1", "message": None}
    return list(lines({**base, "decision": None, "now": NOW, **changes}))


def test_a_placement_is_told_with_its_scores_and_what_stood_against_the_others() -> None:
    reason = {"worker": "w2", "check": "vram", "message": "cuda:0 of w2 has 1.00 GiB free"}
    decision = {
        "type": "InstanceScheduled",
        "sequence": 42,
        "worker_name": "w1",
        "claim": {"ram_bytes": 1024**3, "vram_bytes": {"cuda:0": 24 * 1024**3}},
        "decision": {**DECISION, "against": [reason]},
    }
    assert told(decision=decision)[:5] == [
        "chat-abcde: running on w1",
        "  Placed on w1, decided by spread/2 at sequence 42, on the log up to 41.",
        "    takes cuda:0 24.0 GiB, 1.0 GiB of main memory",
        "    chosen: w1 cuda:0, score 90.50 (workers 50.00, devices 40.50)",
        "    not w2: cuda:0 of w2 has 1.00 GiB free",
    ]


def test_what_would_make_it_fit_is_told() -> None:
    decision = {
        "type": "InstanceUnschedulable",
        "sequence": 42,
        "reasons": [{"message": "w1 is too small"}],
        "decision": DECISION,
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
