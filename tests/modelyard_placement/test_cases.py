"""The documented rules as plain data: a cluster, a workload, and what must come out (`cases/*.json`).

What is expected may say less than what comes out: objects are compared by the fields that are expected, and
`contains` asks for items of a list wherever they are.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from modelyard_contracts.deployments import PlacementStrategy
from modelyard_contracts.models import ModelCoordinates, ModelFacts
from modelyard_placement.claims import Sizer
from modelyard_placement.cluster import BadInput, read_cluster
from modelyard_placement.report import simulation_view
from modelyard_placement.simulation import Fate, simulate
from modelyard_placement.workload import read_workload

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
LEAST_CASES = 60


def source_unread(coordinates: ModelCoordinates) -> ModelFacts | None:
    raise BadInput(f"metadata: is missing, and {coordinates.location()} is not read here")


def outcome(case: dict[str, Any], *, reverse: bool = False) -> Any:
    """`reverse`: the same cluster, told from its end."""
    told = case["cluster"]
    if reverse:
        told = {name: items[::-1] for name, items in told.items()}
    options = case.get("options", {})
    fates: dict[str, Fate] = {
        **dict.fromkeys(options.get("drain", ()), "drained"),
        **dict.fromkeys(options.get("lose", ()), "lost"),
    }
    policy = PlacementStrategy(options["policy"]) if "policy" in options else None
    try:
        demands = read_workload(case["workload"], source_unread)
        result = simulate(read_cluster(told), demands, fates, Sizer(), policy)
    except BadInput as error:
        return {"error": str(error)}
    return simulation_view(result)


@pytest.mark.parametrize("path", CASES, ids=lambda path: str(path.stem))
def test_the_rule_holds(path: Path) -> None:
    case = json.loads(path.read_text())
    found = outcome(case)
    assert missing(case["expected"], found, "") == [], json.dumps(found, indent=1)


@pytest.mark.parametrize("path", CASES, ids=lambda path: str(path.stem))
def test_the_order_in_the_file_does_not_matter(path: Path) -> None:
    case = json.loads(path.read_text())
    assert outcome(case, reverse=True) == outcome(case) or "moved_from" in path.read_text()


def test_there_are_enough_cases_and_each_says_its_rule() -> None:
    assert len(CASES) >= LEAST_CASES
    assert all(json.loads(path.read_text())["rule"] for path in CASES)


def missing(expected: Any, found: Any, where: str) -> list[str]:
    """What is expected and was not found."""
    if isinstance(expected, dict) and "contains" in expected:
        return [
            f"{where}: no item like {one}"
            for one in expected["contains"]
            if not any(missing(one, item, "") == [] for item in found)
        ]
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for name, value in expected.items()
            for line in missing(value, found.get(name, "nothing"), f"{where}.{name}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line
            for at, (one, other) in enumerate(zip(expected, found, strict=True))
            for line in missing(one, other, f"{where}.{at}")
        ]
    return [] if expected == found else [f"{where}: expected {expected}, found {found}"]
