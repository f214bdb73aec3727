"""What llama.cpp's server is told beside its own command. Flags as in `llama-server --help` of July 2026."""

from collections.abc import Sequence

from modelyard_contracts.deployments import Category, DeploymentSpec, SpeculativeConfig

from modelyard_backends.start import CannotStart, Injection, Start

TYPES = {"eagle3": "draft-eagle3", "mtp": "draft-mtp", "ngram": "ngram-simple", None: "draft-simple"}


def injection(spec: DeploymentSpec, start: Start, given: Sequence[str]) -> Injection:
    """Raises `CannotStart`."""
    claim = start.claim
    said = _use(spec)
    if claim.context_tokens:
        said += ["--ctx-size", str(claim.context_tokens)]
    if claim.offload_layers is not None:
        said += ["--n-gpu-layers", str(claim.offload_layers)]
    if claim.tensor_split:
        said += ["--tensor-split", ",".join(f"{share:g}" for share in claim.tensor_split)]
    if start.projector_path:
        said += ["--mmproj", start.projector_path]
    speculative = spec.speculative_config
    if speculative is not None and speculative.enabled:
        said += _speculative(speculative, start.draft_path)
    return Injection((*said, *_adapters(start)))


def _use(spec: DeploymentSpec) -> list[str]:
    """It completes text unless it is told otherwise."""
    if Category.RERANKER in spec.categories:
        return ["--reranking"]
    return ["--embedding"] if Category.EMBEDDING in spec.categories else []


def _adapters(start: Start) -> list[str]:
    """Loaded in this order, by which requests name them, and applied only to those that do. Prompts are not
    cached: of what an adapter made of one, llama.cpp (b11549) makes use for the base model too."""
    loaded = [word for adapter in start.adapters for word in ("--lora-scaled", f"{adapter.path}:0")]
    return [*loaded, "--no-cache-prompt"] if loaded else []


def _speculative(config: SpeculativeConfig, draft_path: str | None) -> list[str]:
    if draft_path is None and config.algorithm in ("eagle3", None):
        raise CannotStart(f"speculative_config.draft_model: is needed for {config.algorithm or 'it'}")
    said = ["--spec-type", TYPES[config.algorithm]]
    if config.algorithm == "ngram":
        sizes = {
            "--spec-ngram-simple-size-n": config.ngram_max_match_length,
            "--spec-ngram-simple-size-m": config.num_draft_tokens,
        }
        return [*said, *(word for name, size in sizes.items() if size for word in (name, str(size)))]
    if draft_path is not None:
        said += ["--model-draft", draft_path]
    return [*said, "--spec-draft-n-max", str(config.num_draft_tokens)] if config.num_draft_tokens else said
