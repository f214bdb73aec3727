"""Why here, why not there, and what would make it fit."""

from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Claim
from modelyard_contracts.explanations import Explanation
from modelyard_scheduler.domain.explaining import explanation
from modelyard_scheduler.domain.surveys import Surveys
from modelyard_scheduler_gpus import GPU_SPEC, gpu_worker, known
from modelyard_scheduler_world import GIB, at, deployment, requested, reserved, scheduled, told


def explained(*events: Event) -> Explanation:
    picture = told(*events)
    before = [dict(room.free) for room in picture.rooms.everyone()]
    found = explanation(picture, picture.instances[5], None, at(100), Surveys())
    assert [dict(room.free) for room in picture.rooms.everyone()] == before
    return found


def test_a_placed_instance_is_explained_as_if_it_were_placed_now() -> None:
    claim = Claim(vram_bytes={"cuda:0": 72 * GIB})
    found = explained(
        known(15 * GIB),
        *gpu_worker(1, 80),
        *gpu_worker(2, 80),
        *gpu_worker(3, 8),
        deployment(spec=GPU_SPEC),
        requested(5, spec=GPU_SPEC),
        reserved(5, worker_id=1, claim=claim),
        scheduled(5, worker_id=1, claim=claim),
    )
    assert found.best[0].worker == "w1", "what it holds itself does not stand against it"
    fits = {verdict.worker: verdict.place is not None for verdict in found.verdicts}
    assert fits == {"w1": True, "w2": True, "w3": False}
    assert found.verdicts[2].reasons
    assert found.remedies == ()


def test_what_fits_nowhere_comes_with_what_would_make_it_fit() -> None:
    found = explained(
        known(60 * GIB),
        *gpu_worker(1, 48),
        *gpu_worker(2, 40),
        deployment(spec=GPU_SPEC),
        requested(5, spec=GPU_SPEC),
    )
    assert found.best == ()
    assert {verdict.worker for verdict in found.verdicts} == {"w1", "w2"}
    told_of = {remedy.change: remedy for remedy in found.remedies}
    assert "fewer_context_tokens" not in told_of, "the weights alone are too large"
    assert told_of["another_quantization"].worker == "w1"
    assert "8 bits" in told_of["another_quantization"].message


def test_fewer_context_tokens_are_proposed_where_they_suffice() -> None:
    spec = GPU_SPEC.model_copy(update={"backend_parameters": ("--max-model-len=131072",)})
    found = explained(
        known(15 * GIB, spec), *gpu_worker(1, 24), deployment(spec=spec), requested(5, spec=spec)
    )
    [remedy] = [one for one in found.remedies if one.change == "fewer_context_tokens"]
    assert remedy.worker == "w1"
    assert "--max-model-len=" in remedy.message
