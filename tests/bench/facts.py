"""Facts of a large cluster: many workers of eight GPUs, and one deployment of a model that is known."""

from bench.agents import GIB
from bench.placement import CONFIG
from modelyard_contracts.deployments import Backend, DeploymentSpec, Source
from modelyard_contracts.events import DeploymentRequested, ModelInspected, WorkerRegistered
from modelyard_contracts.models import coordinates_of
from modelyard_placement.workload import Metadata

SPEC = DeploymentSpec(
    source=Source.HUGGINGFACE,
    huggingface_repo_id="org/model",
    backend=Backend.VLLM,
    backend_parameters=("--gpu-memory-utilization=0.3", "--max-model-len=8192"),
)
MODEL_KNOWN = ModelInspected(
    coordinates=coordinates_of(SPEC),
    facts=Metadata(config=CONFIG, weight_bytes=8 * GIB).facts(SPEC.location()),
)


def registered(ident: int) -> WorkerRegistered:
    return WorkerRegistered(
        worker_id=ident,
        name=f"w{ident}",
        worker_uuid=f"uuid-{ident}",
        public_key="key",
        cluster_id=1,
        hostname=f"w{ident}",
        labels={"zone": f"z{ident % 3}"},
    )


def wish(replicas: int) -> DeploymentRequested:
    return DeploymentRequested(deployment_id=1, name="d1", cluster_id=1, replicas=replicas, spec=SPEC)
