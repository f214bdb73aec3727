"""The log is never rewritten: every version of every event ever written must parse for ever."""

import json
from pathlib import Path

import pytest
from modelyard_contracts.base import Aggregate
from modelyard_contracts.envelope import UnknownEventType, parse_data, related_subjects
from modelyard_contracts.events import EVENT_TYPES, InstanceRemoved, RouteCreated, name_id

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = sorted(GOLDEN.glob("*.json"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.stem))
def test_every_version_ever_written_still_parses(sample: Path) -> None:
    name, version = sample.stem.rsplit(".v", 1)
    data = json.loads(sample.read_text())
    event = parse_data(name, int(version), data)
    assert type(event) is EVENT_TYPES[name]
    if int(version) == event.version:
        assert event.model_dump(mode="json") == data


def test_every_version_of_every_event_has_a_sample() -> None:
    needed = {f"{name}.v{v}" for name, event in EVENT_TYPES.items() for v in range(1, event.version + 1)}
    assert needed == {sample.stem for sample in SAMPLES}


def test_an_event_this_build_does_not_know_is_refused() -> None:
    with pytest.raises(UnknownEventType, match="upgrade this service"):
        parse_data("SomethingNew", 1, {})
    with pytest.raises(UnknownEventType):
        parse_data("DeploymentDeleted", 99, {"deployment_id": 1, "name": "a"})


def test_every_event_says_whose_it_is() -> None:
    for event in EVENT_TYPES.values():
        assert event.aggregate in Aggregate
        assert event.owner.value in ("api", "scheduler", "worker-agent", "gateway")


def test_a_fact_belongs_to_the_stories_it_touches() -> None:
    removed = InstanceRemoved(instance_id=7, deployment_id=3, worker_id=2, reason="scale_down")
    assert related_subjects(removed) == ("instance/7", "deployment/3", "worker/2")
    created = RouteCreated(route_id=4, name="a", targets=(), generic_proxy=False, created_model_id=3)
    assert related_subjects(created) == ("route/4", "deployment/3")


def test_names_of_any_characters_make_valid_subjects() -> None:
    ident = name_id(Aggregate.ROUTE, "Qwen3.8 *>")
    assert not set(ident) & set(" .*>")
