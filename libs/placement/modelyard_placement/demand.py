"""What one instance of a deployment demands, read once and ready to be placed many times."""

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace

from modelyard_contracts.deployments import Backend, Claim, DeploymentSpec, LoraAdapter, Source
from modelyard_contracts.models import ModelFacts, ModelFormat, coordinates_of
from modelyard_contracts.parameters import split_parameters
from modelyard_models.backends import default_backend

from modelyard_placement.backends import BackendRules, rules_of
from modelyard_placement.picture import Holding

PathSaid = bool | str
"""Whether a worker has the local path, or why it could not say."""


@dataclass(frozen=True, slots=True)
class Demand:
    deployment: Hashable
    name: str
    cluster_id: int | None
    spec: DeploymentSpec
    backend: str
    rules: BackendRules
    arguments: tuple[str, ...]
    model: ModelFacts | None = None
    """None: nothing is known of it yet."""
    draft: ModelFacts | None = None
    adapters: tuple[ModelFacts, ...] = ()
    replicas: int = 1
    paths: Mapping[int, PathSaid] | None = None
    """What workers said of the local path; None: they were not asked, and it is taken to be there."""
    moved: tuple[Claim, ...] = ()
    """The claims of an instance that is moved as it is, worker by worker: nothing is estimated anew."""
    key: str = field(default="")
    """Equal for demands that are estimated alike."""
    location: str = field(default="")
    """Of its files, as workers say where they have them."""

    @property
    def gpu_ids(self) -> tuple[str, ...]:
        return self.spec.gpu_selector.gpu_ids if self.spec.gpu_selector else ()

    def download_bytes(self) -> int:
        """What its files take of a disk that does not have them."""
        if self.model is None or self.spec.source is Source.LOCAL_PATH:
            return 0
        return self.model.weight_bytes

    def holding(self, instance: Hashable, worker: int, claim: Claim) -> Holding:
        return Holding(instance, self.deployment, worker, claim, self.location, self.download_bytes())

    @property
    def may_span(self) -> bool:
        """Several workers may run it together."""
        return self.rules.several_workers and self.spec.distributed_inference_across_workers is not False


def demand_of(
    name: str,
    spec: DeploymentSpec,
    *,
    deployment: Hashable = None,
    cluster_id: int | None = None,
    model: ModelFacts | None = None,
    draft: ModelFacts | None = None,
    adapters: tuple[ModelFacts, ...] = (),
    replicas: int = 1,
    paths: Mapping[int, PathSaid] | None = None,
) -> Demand:
    """Raises `BadParameters`."""
    arguments = tuple(split_parameters(spec.backend_parameters))
    backend = spec.backend or backend_for(spec, model)
    adapters = adapters or tuple(unread(one) for one in spec.lora_list)
    told = [_told(facts) for facts in (model, draft, *adapters)]
    key = "\0".join((backend, spec.backend_version or "", *arguments, *told, str(spec.extended_kv_cache)))
    return Demand(
        deployment=name if deployment is None else deployment,
        name=name,
        cluster_id=cluster_id,
        spec=spec,
        backend=backend,
        rules=rules_of(backend),
        arguments=arguments,
        model=model,
        draft=draft,
        adapters=adapters,
        replicas=replicas,
        paths=paths,
        key=hashlib.blake2b(key.encode(), digest_size=16).hexdigest(),
        location=coordinates_of(spec).location(),
    )


def _told(facts: ModelFacts | None) -> str:
    """What an estimate may look at."""
    return facts.model_dump_json(exclude={"choices"}) if facts else ""


def unread(adapter: LoraAdapter) -> ModelFacts:
    """Backends keep room for each adapter by its rank, and take a usual one where it is not known."""
    location = adapter.lora_repo_name or adapter.local_path or adapter.lora_name
    return ModelFacts(location=location, format=ModelFormat.UNKNOWN, weight_bytes=0)


def as_it_is(name: str, parts: tuple[Claim, ...], cluster_id: int | None) -> Demand:
    """An instance of which only its claims are known, to be taken elsewhere."""
    spec = DeploymentSpec(source=Source.LOCAL_PATH, backend=Backend.CUSTOM)
    return replace(demand_of(name, spec, cluster_id=cluster_id), moved=parts)


def backend_for(spec: DeploymentSpec, model: ModelFacts | None) -> str:
    """What suits the model, where the deployment names no backend."""
    if model is not None:
        return default_backend(model.format, model.category)
    is_gguf = spec.location().endswith(".gguf") or spec.source is Source.LOCAL_PATH
    return Backend.LLAMA_CPP if is_gguf else Backend.VLLM
