"""Errors of estimates, as measurements show them."""

from typing import Any

from modelyard_api.projections.model_memory import report

GIB = 1 << 30


def one(
    estimated: int, ram: int | None, vram: dict[str, int] | None = None, version: str = "1"
) -> dict[str, Any]:
    claim = {"ram": estimated, "vram": {"cuda:0": 11 * GIB}}
    return {
        "model": "org/m",
        "backend": "vLLM",
        "backend_version": version,
        "ram": ram,
        "vram": vram or {},
        "claim": claim,
    }


def test_errors_are_of_each_model_backend_and_version() -> None:
    rows = report([one(9, 10), one(12, 10), one(5, 10, version="2")])
    assert [(row["model"], row["backend_version"], row["measurements"]) for row in rows] == [
        ("org/m", "1", 2),
        ("org/m", "2", 1),
    ]
    assert rows[0]["ram"] == {
        "estimated": 10,
        "measured": 10,
        "mean_error_percent": 15.0,
        "worst_under_percent": -10.0,
        "worst_over_percent": 20.0,
    }
    assert rows[1]["ram"]["worst_over_percent"] == 0.0


def test_each_device_is_compared_with_its_own_claim() -> None:
    (row,) = report([one(1, 1, {"cuda:0": 10 * GIB, "cuda:1": GIB})])
    assert row["vram"]["estimated"] == 11 * GIB
    assert row["vram"]["mean_error_percent"] == 10.0


def test_what_was_not_claimed_or_not_measured_is_not_compared() -> None:
    assert report([one(0, 10), one(10, None)])[0]["ram"] is None
    assert report([]) == []
