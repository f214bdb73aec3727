"""What vLLM is told beside its own command. Flags as in `vllm serve --help` of 0.11 and later."""

import json
from collections.abc import Sequence
from typing import Any

from modelyard_contracts.deployments import DeploymentSpec, SpeculativeConfig
from modelyard_contracts.parameters import value_of

from modelyard_backends.kv_cache import lmcache_env
from modelyard_backends.start import CannotStart, Group, Injection, Start

PARALLELISM = (
    "--tensor-parallel-size",
    "-tp",
    "--pipeline-parallel-size",
    "-pp",
    "--data-parallel-size",
    "-dp",
)
OF_COPY = (
    ("--tensor-parallel-size", "-tp"),
    ("--pipeline-parallel-size", "-pp"),
    ("--prefill-context-parallel-size", "-pcp"),
)
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
EXECUTOR = "--distributed-executor-backend"


def injection(spec: DeploymentSpec, start: Start, given: Sequence[str]) -> Injection:
    """Raises `CannotStart`."""
    arguments = [*_parallelism(start, given), *_memory(start), *_adapters(start)]
    env = {"OMP_NUM_THREADS": "1"} if start.framework != "cpu" else {}
    speculative = spec.speculative_config
    if speculative is not None and speculative.enabled:
        arguments += ["--speculative-config", json.dumps(_speculative(speculative, start))]
    cache = spec.extended_kv_cache
    if cache is not None and cache.enabled:
        transfer = {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}
        arguments += ["--kv-transfer-config", json.dumps(transfer)]
        env |= lmcache_env(cache, start.vram_bytes)
    if start.group is None:
        return Injection(tuple(arguments), env)
    env |= {"VLLM_HOST_IP": start.group.own.address, **start.group.network_env()}
    if uses_ray(given):
        return _with_ray(start.group, [*arguments, *_copies(start.group, given)], env)
    return Injection((*arguments, *_multiprocessing(start.group)), env)


def uses_ray(given: Sequence[str]) -> bool:
    """Across workers: Ray, unless multiprocessing is asked for."""
    return value_of(given, EXECUTOR) != "mp"


def _parallelism(start: Start, given: Sequence[str]) -> list[str]:
    """All devices of a worker share each layer; workers share out the layers. The user's split wins whole."""
    if any(value_of(given, flag) is not None for flag in PARALLELISM):
        return []
    group = start.group
    if group is None:
        return ["--tensor-parallel-size", str(start.gpu_count)] if start.gpu_count > 1 else []
    counts = {max(member.gpu_count, 1) for member in group.members}
    if len(counts) > 1:  # uneven: each device a stage of its own
        return ["--tensor-parallel-size", "1", "--pipeline-parallel-size", str(group.gpu_count)]
    return [
        *("--tensor-parallel-size", str(counts.pop())),
        *("--pipeline-parallel-size", str(len(group.members))),
    ]


def _memory(start: Start) -> list[str]:
    said: list[str] = []
    if start.claim.fraction is not None and start.gpu_count:
        said += ["--gpu-memory-utilization", f"{start.claim.fraction:g}"]
    if start.claim.context_tokens:
        said += ["--max-model-len", str(start.claim.context_tokens)]
    return said


def _adapters(start: Start) -> list[str]:
    if not start.adapters:
        return []
    highest = max((adapter.rank or 16 for adapter in start.adapters), default=16)
    rank = next((known for known in LORA_RANKS if known >= highest), None)
    if rank is None:
        raise CannotStart(f"lora_list: an adapter of rank {highest} is more than vLLM's {LORA_RANKS[-1]}")
    modules = [json.dumps({"name": adapter.name, "path": adapter.path}) for adapter in start.adapters]
    return [
        *("--enable-lora", "--max-loras", str(len(modules)), "--max-lora-rank", str(rank)),
        *("--lora-modules", *modules),
    ]


def _speculative(config: SpeculativeConfig, start: Start) -> dict[str, Any]:
    if config.algorithm is None:
        raise CannotStart("speculative_config.algorithm: is needed")
    said: dict[str, Any] = {
        "method": config.algorithm,
        "num_speculative_tokens": config.num_draft_tokens or 4,
    }
    if config.algorithm == "eagle3":
        if start.draft_path is None:
            raise CannotStart("speculative_config.draft_model: is needed for eagle3")
        said["model"] = start.draft_path
    if config.algorithm == "ngram":
        said["prompt_lookup_max"] = config.ngram_max_match_length or 5
        said["prompt_lookup_min"] = min(config.ngram_min_match_length or 1, said["prompt_lookup_max"])
    return said


def _multiprocessing(group: Group) -> list[str]:
    said = [
        *(EXECUTOR, "mp"),
        *("--nnodes", str(len(group.members)), "--node-rank", str(group.rank)),
        *("--master-addr", group.primary.address, "--master-port", str(group.ports[0])),
    ]
    return said if group.rank == 0 else [*said, "--headless"]


def _copies(group: Group, given: Sequence[str]) -> list[str]:
    """Ray deals out data-parallel copies too, if told so: to the primary as many as its devices make."""
    if value_of(given, "--data-parallel-size", "-dp") in (None, "1"):
        return []
    backend, local = ("--data-parallel-backend", "-dpb"), ("--data-parallel-size-local", "-dpl")
    said = [] if value_of(given, *backend) else [backend[0], "ray"]
    of_copy = 1
    for flags in OF_COPY:
        of_copy *= int(value_of(given, *flags) or 1)
    here = group.primary.gpu_count // of_copy
    return said if value_of(given, *local) or not here else [*said, local[0], str(here)]


def _with_ray(group: Group, arguments: list[str], env: dict[str, str]) -> Injection:
    """Each member brings a Ray node; vLLM itself runs on the primary only."""
    address = f"{group.primary.address}:{group.ports[0]}"
    member = group.members[group.rank]
    node = ["--node-ip-address", member.address, "--num-gpus", str(member.gpu_count)]
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": address}
    if group.rank > 0:
        return Injection(env=env | quiet, instead=("ray", "start", "--address", address, *node, "--block"))
    ports = ["--port", str(group.ports[0]), "--ray-client-server-port", str(group.ports[1])]
    head = ("ray", "start", "--head", *ports, "--include-dashboard=false", *node)
    return Injection((*arguments, EXECUTOR, "ray"), env | quiet, first=head)
