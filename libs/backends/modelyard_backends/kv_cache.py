"""Extended KV cache, by LMCache. Its variables as in LMCache's configuration reference."""

from modelyard_contracts.deployments import Backend, ExtendedKVCache

GIB = 2**30
BACKENDS = (Backend.VLLM, Backend.SGLANG)
FRAMEWORKS = ("cuda", "rocm")


def unsupported(backend: str, framework: str | None = None) -> str | None:
    """Why the cache cannot be had there; `framework` None where it is not known yet."""
    if backend not in BACKENDS:
        return f"extended_kv_cache: works with {' and '.join(BACKENDS)}, not with {backend}"
    if framework is not None and framework not in FRAMEWORKS:
        return f"extended_kv_cache: works on {' and '.join(FRAMEWORKS)}, not on {framework}"
    return None


def ram_bytes(cache: ExtendedKVCache, vram_bytes: int) -> int:
    """Main memory that the cache takes of one worker, by what is claimed of its devices."""
    return cache.ram_size * GIB if cache.ram_size is not None else int(vram_bytes * cache.ram_ratio)


def lmcache_env(cache: ExtendedKVCache, vram_bytes: int) -> dict[str, str]:
    env = {
        "LMCACHE_USE_EXPERIMENTAL": "True",
        "LMCACHE_LOCAL_CPU": "True",
        "LMCACHE_MAX_LOCAL_CPU_SIZE": f"{ram_bytes(cache, vram_bytes) / GIB:g}",
    }
    if cache.chunk_size is not None:
        env["LMCACHE_CHUNK_SIZE"] = str(cache.chunk_size)
    if cache.remote_url is not None:
        env |= {"LMCACHE_REMOTE_URL": cache.remote_url, "LMCACHE_REMOTE_SERDE": "naive"}
    return env
