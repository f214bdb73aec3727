"""Why here, why not there, and what would make it fit."""

from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Backend, Claim, DeploymentSpec, Source
from modelyard_contracts.events import ModelInspected, WorkerInventoryChanged
from modelyard_contracts.explanations import Explanation
from modelyard_contracts.inventory import GpuDevice, Inventory
from modelyard_contracts.models import coordinates_of
from modelyard_placement.claims import Sizer
from modelyard_placement.workload import Metadata
from modelyard_scheduler.domain.explaining import explanation
from modelyard_scheduler_world import (
    GIB,
    at,
    deployment,
    ready,
    registered,
    requested,
    reserved,
    scheduled,
    told,
)

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
SPEC = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/model", backend=Backend.VLLM)


def known(weight_bytes: int, spec: DeploymentSpec = SPEC) -> ModelInspected:
    facts = Metadata(config=CONFIG, weight_bytes=weight_bytes).facts(spec.location())
    return ModelInspected(coordinates=coordinates_of(spec), facts=facts)


def gpu_worker(ident: int, *sizes_gib: int) -> tuple[Event, ...]:
    devices = tuple(
        GpuDevice(
            vendor="nvidia",
            type="cuda",
            index=index,
            name=f"gpu-{size}",
            uuid=f"{ident}-{index}",
            memory_total_bytes=size * GIB,
            compute_capability="9.0",
        )
        for index, size in enumerate(sizes_gib)
    )
    inventory = Inventory(
        os="linux",
        kernel="6",
        architecture="x86_64",
        cpu_count=8,
        memory_total_bytes=256 * GIB,
        gpu_devices=devices,
        backends={"vLLM": "0.11"},
    )
    return registered(ident), ready(ident), WorkerInventoryChanged(worker_id=ident, inventory=inventory)


def explained(*events: Event) -> Explanation:
    picture = told(*events)
    before = [dict(room.free) for room in picture.rooms.everyone()]
    found = explanation(picture, picture.instances[5], None, at(100), Sizer())
    assert [dict(room.free) for room in picture.rooms.everyone()] == before
    return found


def test_a_placed_instance_is_explained_as_if_it_were_placed_now() -> None:
    claim = Claim(vram_bytes={"cuda:0": 72 * GIB})
    found = explained(
        known(15 * GIB),
        *gpu_worker(1, 80),
        *gpu_worker(2, 80),
        *gpu_worker(3, 8),
        deployment(spec=SPEC),
        requested(5, spec=SPEC),
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
        deployment(spec=SPEC),
        requested(5, spec=SPEC),
    )
    assert found.best == ()
    assert {verdict.worker for verdict in found.verdicts} == {"w1", "w2"}
    told_of = {remedy.change: remedy for remedy in found.remedies}
    assert "fewer_context_tokens" not in told_of, "the weights alone are too large"
    assert told_of["another_quantization"].worker == "w1"
    assert "8 bits" in told_of["another_quantization"].message


def test_fewer_context_tokens_are_proposed_where_they_suffice() -> None:
    spec = SPEC.model_copy(update={"backend_parameters": ("--max-model-len=131072",)})
    found = explained(
        known(15 * GIB, spec), *gpu_worker(1, 24), deployment(spec=spec), requested(5, spec=spec)
    )
    [remedy] = [one for one in found.remedies if one.change == "fewer_context_tokens"]
    assert remedy.worker == "w1"
    assert "--max-model-len=" in remedy.message
