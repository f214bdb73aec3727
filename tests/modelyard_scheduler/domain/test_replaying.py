"""When a decision that was made again counts as the same."""

import json
from pathlib import Path

from modelyard_contracts.deployments import Claim
from modelyard_contracts.events import InstanceScheduled
from modelyard_scheduler.domain.replaying import Replayed

GOLDEN = Path(__file__).parents[2] / "modelyard_contracts" / "golden"


def scheduled(policy: str, claim: Claim) -> InstanceScheduled:
    path = GOLDEN / f"InstanceScheduled.v{InstanceScheduled.version}.json"
    fact = InstanceScheduled.model_validate(json.loads(path.read_text()))
    decision = fact.decision.model_copy(update={"policy": policy})
    return fact.model_copy(update={"decision": decision, "claim": claim, "subordinates": ()})


SHARE = Claim(vram_bytes={"cuda:0": 40}, fraction=0.5)
WITH_CONTEXT = Claim(vram_bytes={"cuda:0": 40}, fraction=0.5, beside_bytes={"cuda:0": 1})


def test_what_older_policies_did_not_count_makes_no_difference() -> None:
    again = scheduled("spread/4", WITH_CONTEXT)
    assert Replayed(scheduled("spread/3", SHARE), again).identical
    assert not Replayed(scheduled("spread/4", SHARE), again).identical
    assert not Replayed(scheduled("spread/3", Claim(vram_bytes={"cuda:0": 41})), again).identical
    assert not Replayed(scheduled("spread/3", SHARE), None).identical
