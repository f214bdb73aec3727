"""Where the models are that run along with a deployment's own."""

from modelyard_contracts.deployments import Backend, DeploymentSpec, LoraAdapter, Source
from modelyard_contracts.models import ModelCoordinates, coordinates_of


def models_of(spec: DeploymentSpec) -> tuple[ModelCoordinates, ...]:
    """Everything of a hub that an instance needs on its disk, its own model first."""
    needed = (coordinates_of(spec), *(at for _, at in companions_of(spec)))
    return tuple({at.model_id(): at for at in needed if at.source is not Source.LOCAL_PATH}.values())


def companions_of(spec: DeploymentSpec) -> list[tuple[str, ModelCoordinates]]:
    """Each with the field that names it."""
    adapters = ((f"lora_list: {one.lora_name}", adapter_at(spec, one)) for one in spec.lora_list)
    named = (*adapters, ("speculative_config.draft_model", draft_at(spec)))
    return [(field, at) for field, at in named if at is not None]


def adapter_at(spec: DeploymentSpec, adapter: LoraAdapter) -> ModelCoordinates | None:
    """Of `spec.lora_list`. None: it does not say where it is."""
    if adapter.source is Source.LOCAL_PATH:
        path = adapter.local_path
        return ModelCoordinates(source=adapter.source, repo=path) if path else None
    repo = adapter.lora_repo_name
    return ModelCoordinates(source=adapter.source, repo=repo, file=_file(spec)) if repo else None


def draft_at(spec: DeploymentSpec) -> ModelCoordinates | None:
    """An absolute path, or a repository of the deployment's hub (Hugging Face, where it has none).
    None: there is no draft model."""
    said = spec.speculative_config
    if said is None or not said.enabled or not said.draft_model or said.algorithm == "ngram":
        return None
    if said.draft_model.startswith("/"):
        return ModelCoordinates(source=Source.LOCAL_PATH, repo=said.draft_model)
    hub = Source.HUGGINGFACE if spec.source is Source.LOCAL_PATH else spec.source
    return ModelCoordinates(source=hub, repo=said.draft_model, file=_file(spec))


def _file(spec: DeploymentSpec) -> str | None:
    """llama.cpp takes GGUF files, whatever else lies beside them."""
    return "*.gguf" if spec.backend == Backend.LLAMA_CPP else None
