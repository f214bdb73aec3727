"""Who has waited longest is kept the workers that come closest, a group too, until it is placed."""

from dataclasses import dataclass, field
from random import Random

import pytest
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Claim, DeploymentSpec, GpuSelector
from modelyard_contracts.events import InstanceScheduled, InstanceUnschedulable
from modelyard_scheduler.domain.decisions import placed, question
from modelyard_scheduler.domain.holding_back import HOLD_AFTER_S
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.surveys import Surveys
from modelyard_scheduler_gpus import GPU_SPEC, gpu_worker, known
from modelyard_scheduler_world import (
    GIB,
    at,
    deployment,
    record,
    released,
    removed,
    requested,
    reserved,
    told,
    unschedulable,
)

GROUP = GPU_SPEC.model_copy(
    update={"backend_parameters": ("--tensor-parallel-size=4", "--max-model-len=4096")}
)
"""Nine tenths of each of four cards, on two workers that have two each."""
ALONE = GPU_SPEC.model_copy(
    update={"backend_parameters": ("--gpu-memory-utilization=0.5", "--max-model-len=4096")}
)
WHOLE = GPU_SPEC.model_copy(update={"backend_parameters": ("--max-model-len=4096",)})


def share(*devices: int) -> Claim:
    return Claim(vram_bytes={f"cuda:{index}": 40 * GIB for index in devices}, fraction=0.5)


def waiting(spec: DeploymentSpec, *others: Event) -> list[Event]:
    """Instance 5 waits, 90 is younger."""
    asks = (deployment(3, spec=spec), requested(5, spec=spec), unschedulable(5))
    younger = (deployment(4, spec=ALONE), requested(90, deployment_id=4, spec=ALONE))
    return [known(15 * GIB), *others, *asks, *younger]


def held(*facts: Event) -> tuple[int, ...]:
    """What a younger one has to leave alone."""
    picture = told(*facts)
    [event] = [
        event
        for event in decided(picture, 90)
        if isinstance(event, InstanceScheduled | InstanceUnschedulable)
    ]
    return event.decision.held.worker_ids if event.decision.held else ()


def decided(picture: Picture, *idents: int) -> list[Event]:
    asked = question(picture, {}, at(picture.position + HOLD_AFTER_S), Surveys())
    return [event for _, event in placed(picture, idents, asked)]


def test_for_a_group_as_many_workers_are_kept_as_it_spans_those_that_lack_least() -> None:
    fleet = [fact for ident in range(1, 5) for fact in gpu_worker(ident, 80, 80)]
    taken = [reserved(n, worker_id=n - 10, claim=share(*which)) for n, which in TAKEN]
    assert held(*waiting(GROUP, *fleet, *taken)) == (2, 4)


TAKEN = ((11, (0, 1)), (12, (0,)), (13, (0, 1)), (14, (1,)))


def test_a_worker_that_has_room_for_its_part_of_a_group_already_is_kept() -> None:
    fleet = [fact for ident in range(1, 4) for fact in gpu_worker(ident, 80, 80)]
    taken = [reserved(n, worker_id=n - 10, claim=share(*which)) for n, which in ((12, (0,)), (13, (0, 1)))]
    assert held(*waiting(GROUP, *fleet, *taken)) == (1, 2)


def test_a_worker_with_a_small_card_beside_a_large_one_is_kept_for_the_large_one() -> None:
    fleet = (*gpu_worker(1, 16, 80), *gpu_worker(2, 8))
    assert held(*waiting(WHOLE, *fleet, reserved(11, worker_id=1, claim=share(1)))) == (1,)


def test_what_is_kept_for_the_oldest_is_free_again_once_that_is_placed() -> None:
    fleet = gpu_worker(1, 80, 80)
    events = waiting(WHOLE, *fleet)
    younger = (requested(6, spec=WHOLE), requested(7, spec=WHOLE))
    both = decided(told(*events, *younger), 5, 6, 7)
    placed_ones = [event.instance_id for event in both if isinstance(event, InstanceScheduled)]
    waits = [event.instance_id for event in both if isinstance(event, InstanceUnschedulable)]
    assert (placed_ones, waits) == ([5, 6], [7])


def test_a_worker_that_is_kept_is_not_said_to_be_missing() -> None:
    by_hand = WHOLE.model_copy(update={"gpu_selector": GpuSelector(gpu_ids=("w1:cuda:0", "w9:cuda:0"))})
    picture = told(*waiting(WHOLE, *gpu_worker(1, 80)), requested(6, spec=by_hand))
    [waits] = [event for event in decided(picture, 6) if isinstance(event, InstanceUnschedulable)]
    assert [(reason.check, reason.worker, reason.needed) for reason in waits.reasons] == [
        ("held", "w1", None),
        ("gpu_selector", None, "w9:cuda:0"),
    ]


def test_a_worker_that_would_not_do_if_it_were_empty_is_not_kept() -> None:
    fleet = (*gpu_worker(1, 8), *gpu_worker(2, 8))
    assert held(*waiting(WHOLE, *fleet)) == ()


@dataclass
class Crowd:
    """Every card is half taken, by instances that end one by one; younger ones are always there that want a
    half, beside the one that waits."""

    picture: Picture
    running: list[tuple[int, int]] = field(default_factory=list)
    young: int = 100
    placed: bool = False

    def tell(self, event: Event) -> None:
        self.picture.apply(record(event, self.picture.position + 1))

    def fill(self) -> None:
        for worker_id in self.picture.workers:
            for index in (0, 1):
                self.tell(reserved(10 * worker_id + index, worker_id=worker_id, claim=share(index)))
                self.running.append((10 * worker_id + index, worker_id))

    def one_ends(self, chance: Random) -> None:
        ended, worker_id = self.running.pop(chance.randrange(len(self.running)))
        self.tell(removed(ended))
        self.tell(released(ended, worker_id=worker_id))
        for _ in range(2):
            self.tell(requested(self.young, deployment_id=4, spec=ALONE))
            self.young += 1

    def settle(self) -> None:
        for event in decided(self.picture, *sorted(self.picture.instances)):
            self.tell(event)
            if isinstance(event, InstanceScheduled):
                self.placed = self.placed or event.instance_id == 5
                self.running.append((event.instance_id, event.worker_id))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spec", [GROUP, WHOLE])
def test_it_is_placed_however_many_smaller_ones_come(spec: DeploymentSpec, seed: int) -> None:
    chance, fleet = Random(seed), [fact for ident in range(1, 5) for fact in gpu_worker(ident, 80, 80)]
    crowd = Crowd(told(*waiting(spec, *fleet)))
    crowd.fill()
    for _ in range(100):
        crowd.one_ends(chance)
        crowd.settle()
        if crowd.placed:
            return
    raise AssertionError(f"it starves: {crowd.picture.instances[5]}")
