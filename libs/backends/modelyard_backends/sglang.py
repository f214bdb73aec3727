"""What SGLang is told beside its own command. Flags as in `sglang.launch_server --help` of 0.5."""

from collections.abc import Sequence

from modelyard_contracts.deployments import DeploymentSpec, SpeculativeConfig
from modelyard_contracts.parameters import value_of

from modelyard_backends.kv_cache import lmcache_env
from modelyard_backends.start import CannotStart, Group, Injection, Start

PARALLELISM = ("--tp-size", "--tensor-parallel-size", "--pp-size", "--pipeline-parallel-size", "--dp-size")
ALGORITHMS = {"eagle3": "EAGLE3", "mtp": "EAGLE", "ngram": "NGRAM"}


def injection(spec: DeploymentSpec, start: Start, given: Sequence[str]) -> Injection:
    """Raises `CannotStart`."""
    arguments = [*_parallelism(start, given), *_memory(start), *_adapters(start)]
    env = {"OMP_NUM_THREADS": "1"}
    speculative = spec.speculative_config
    if speculative is not None and speculative.enabled:
        arguments += _speculative(speculative, start)
    cache = spec.extended_kv_cache
    if cache is not None and cache.enabled:
        arguments.append("--enable-lmcache")
        env |= lmcache_env(cache, start.vram_bytes)
    if start.framework == "cpu":
        arguments += ["--device", "cpu"]
    if start.group is not None:
        arguments += _nodes(start.group)
        env |= start.group.network_env()
    return Injection(tuple(arguments), env)


def _parallelism(start: Start, given: Sequence[str]) -> list[str]:
    """`--tp-size` counts the devices of all nodes that share a stage, and nodes are stages here."""
    if any(value_of(given, flag) is not None for flag in PARALLELISM):
        return []
    if start.group is None:
        return ["--tp-size", str(start.gpu_count)] if start.gpu_count > 1 else []
    counts = {max(member.gpu_count, 1) for member in start.group.members}
    if len(counts) > 1:
        raise CannotStart("SGLang needs the same number of devices on every worker of an instance")
    return ["--tp-size", str(counts.pop()), "--pp-size", str(len(start.group.members))]


def _memory(start: Start) -> list[str]:
    said: list[str] = []
    if start.claim.fraction is not None and start.gpu_count:
        said += ["--mem-fraction-static", f"{start.claim.fraction:g}"]
    if start.claim.context_tokens:
        said += ["--context-length", str(start.claim.context_tokens)]
    return said


def _adapters(start: Start) -> list[str]:
    if not start.adapters:
        return []
    paths = [f"{adapter.name}={adapter.path}" for adapter in start.adapters]
    return ["--lora-paths", *paths, "--max-loras-per-batch", str(max(len(paths) + 1, 2))]


def _speculative(config: SpeculativeConfig, start: Start) -> list[str]:
    if config.algorithm is None:
        raise CannotStart("speculative_config.algorithm: is needed")
    said = ["--speculative-algorithm", ALGORITHMS[config.algorithm]]
    tokens = config.num_draft_tokens
    if config.algorithm == "ngram":
        if config.ngram_max_match_length:
            said += ["--speculative-ngram-max-trie-depth", str(config.ngram_max_match_length)]
        return [*said, "--speculative-num-draft-tokens", str(tokens or 8)]
    if config.algorithm == "eagle3" and start.draft_path is None:
        raise CannotStart("speculative_config.draft_model: is needed for eagle3")
    if start.draft_path is not None:
        said += ["--speculative-draft-model-path", start.draft_path]
    steps = (tokens or 4) - 1
    return [
        *said,
        *("--speculative-num-steps", str(max(steps, 1))),
        *("--speculative-eagle-topk", "1"),
        *("--speculative-num-draft-tokens", str(max(steps, 1) + 1)),
    ]


def _nodes(group: Group) -> list[str]:
    return [
        *("--nnodes", str(len(group.members)), "--node-rank", str(group.rank)),
        *("--dist-init-addr", f"{group.primary.address}:{group.ports[0]}"),
    ]
