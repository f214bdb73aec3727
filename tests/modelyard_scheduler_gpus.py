"""Workers with GPUs and a model that is known, for tests of placement through the scheduler."""

from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Backend, DeploymentSpec, Source
from modelyard_contracts.events import ModelInspected, WorkerInventoryChanged
from modelyard_contracts.inventory import GpuDevice, Inventory
from modelyard_contracts.models import coordinates_of
from modelyard_placement.workload import Metadata
from modelyard_scheduler_world import GIB, ready, registered

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
GPU_SPEC = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/model", backend=Backend.VLLM)


def known(weight_bytes: int, spec: DeploymentSpec = GPU_SPEC) -> ModelInspected:
    facts = Metadata(config=CONFIG, weight_bytes=weight_bytes).facts(spec.location())
    return ModelInspected(coordinates=coordinates_of(spec), facts=facts)


def gpu_worker(ident: int, *sizes_gib: int) -> tuple[Event, ...]:
    return registered(ident), ready(ident), gpu_inventory(ident, *sizes_gib)


def gpu_inventory(ident: int, *sizes_gib: int) -> WorkerInventoryChanged:
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
    return WorkerInventoryChanged(worker_id=ident, inventory=inventory)
