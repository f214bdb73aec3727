"""Where the models are that run along with a deployment's own."""

from modelyard_contracts.deployments import Backend, DeploymentSpec, LoraAdapter, Source
from modelyard_contracts.models import ModelCoordinates


def companions_of(spec: DeploymentSpec) -> list[tuple[str, ModelCoordinates]]:
    """Each with the field that names it."""
    adapters = ((f"lora_list: {one.lora_name}", adapter_at(one)) for one in spec.lora_list)
    named = (*adapters, ("speculative_config.draft_model", draft_at(spec)))
    return [(field, at) for field, at in named if at is not None]


def adapter_at(adapter: LoraAdapter) -> ModelCoordinates | None:
    """None: it does not say where it is."""
    repo = adapter.local_path if adapter.source is Source.LOCAL_PATH else adapter.lora_repo_name
    return ModelCoordinates(source=adapter.source, repo=repo) if repo else None


def draft_at(spec: DeploymentSpec) -> ModelCoordinates | None:
    """An absolute path, or a repository of the deployment's hub (Hugging Face, where it has none).
    None: there is no draft model."""
    said = spec.speculative_config
    if said is None or not said.enabled or not said.draft_model or said.algorithm == "ngram":
        return None
    if said.draft_model.startswith("/"):
        return ModelCoordinates(source=Source.LOCAL_PATH, repo=said.draft_model)
    hub = Source.HUGGINGFACE if spec.source is Source.LOCAL_PATH else spec.source
    file = "*.gguf" if spec.backend == Backend.LLAMA_CPP else None
    return ModelCoordinates(source=hub, repo=said.draft_model, file=file)
