"""The estimate beside what the installed llama.cpp says once it runs, on files that hold only a header.

On the CPU it can be compared to the hundredth of a MiB that llama.cpp logs: weights, repacked weights,
caches, recurrent states and logits; compute buffers, of small models, within a MiB. What devices take needs a
device. Its planner without allocations ends the process (`no_alloc` of xllamacpp 2026.10), so a real server
is started.
"""

import random
from pathlib import Path
from typing import Any

import pytest
from gguf_shapes import Sizes, header, write_sparse
from llama_cpp_rows import model_of
from llama_cpp_server import buffers_mib
from modelyard_models.estimate import estimate
from modelyard_models.gguf_header import header_of, header_of_file
from modelyard_models.layout import CPU_ONLY
from tiny_gguf import write_tiny_gguf

MIB = 1 << 20
NO_VOCABULARY = {"tokenizer.ggml.model": "no_vocab"}
CACHE_TYPES = {"f16": 1, "q4_0": 2, "q8_0": 8}
FAMILIES = ("llama", "qwen2", "qwen3", "gemma3", "phi3", "qwen3moe", "gpt-oss", "glm4moe", "mamba2", "bert")


def random_sizes(chance: random.Random, family: str) -> Sizes:
    kv_heads = chance.choice((1, 2, 4))
    heads = kv_heads * chance.choice((2, 4))
    length = chance.choice((64, 128))
    sizes: Sizes = {
        "family": family,
        "layers": chance.randint(4, 9),
        "width": heads * length,
        "feed_forward": 256 * chance.randint(2 * heads * length // 256, 4 * heads * length // 256),
        "heads": heads,
        "kv_heads": heads if family == "bert" else kv_heads,
        "vocabulary": chance.choice((1000, 32_000)),
        "context": 8192,
        "tied": chance.random() < 0.5 and family != "gpt-oss",
    }
    if family in ("qwen3", "gemma3", "qwen3moe", "gpt-oss", "glm4moe"):
        sizes["head_length"] = length
    more: dict[str, Sizes] = {
        "gemma3": {"window": 512},
        "gpt-oss": {
            "window": 128,
            "experts": 8,
            "experts_used": 2,
            "expert_feed_forward": sizes["feed_forward"],
        },
        "qwen3moe": {"experts": 8, "experts_used": 2, "expert_feed_forward": 256},
        "glm4moe": {
            "experts": 8,
            "experts_used": 2,
            "expert_feed_forward": 256,
            "shared_experts": 1,
            "dense_layers": 1,
            "predicting_layers": 1,
        },
        "mamba2": {"conv": 4, "state": 128, "groups": 1, "inner": 2 * sizes["width"], "time_rank": 16},
        "bert": {"token_types": 2},
    }
    return sizes | more.get(family, {})


def random_flags(chance: random.Random, family: str) -> tuple[list[str], dict[str, Any]]:
    """As llama-server's flags, and as the names of the server in this process."""
    context, slots = chance.choice((1024, 2000, 4096)), chance.choice((1, 2, 4))
    unified, repacks = chance.random() < 0.3, chance.random() < 0.5
    kept = chance.choice(("f16", "q8_0", "q4_0")) if family not in ("bert", "mamba2") else "f16"
    flags = ["-c", str(context), "-np", str(slots), "-ctk", kept, "-ctv", kept]
    flags += ["-kvu"] * unified + ["--no-repack"] * (not repacks) + ["--embedding"] * (family == "bert")
    return flags, {
        "n_ctx": context,
        "n_parallel": slots,
        "kv_unified": unified,
        "no_extra_bufts": not repacks,
        "cache_type_k": CACHE_TYPES[kept],
        "cache_type_v": CACHE_TYPES[kept],
        "embedding": family == "bert",
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_header_is_enough_to_say_what_llama_cpp_takes(tmp_path: Path, family: str, seed: int) -> None:
    chance = random.Random(f"{family} {seed}")
    sizes = random_sizes(chance, family)
    file_type = "MXFP4_MOE" if family == "gpt-oss" else chance.choice(("F16", "Q8_0", "Q4_0", "Q4_K_M"))
    flags, parameters = random_flags(chance, family)
    path = tmp_path / "model.gguf"
    write_sparse(path, sizes, file_type, NO_VOCABULARY)
    said = buffers_mib(path, **parameters)
    need = estimate(model_of(header_of(header(sizes, file_type))), "llama.cpp", None, flags, CPU_ONLY)
    found = {part.name: part.bytes / MIB for part in need.hosts[0].parts}
    on_cpu = said["CPU"]
    assert found.get("repacked_weights", 0.0) == pytest.approx(
        said.get("CPU_REPACK", {}).get("model", 0.0), abs=0.006
    )
    if "repacked_weights" not in found:
        assert found["weights"] == pytest.approx(said["CPU_Mapped"]["model"], abs=0.006)
    assert found.get("kv_cache", 0.0) == pytest.approx(on_cpu.get("context", 0.0), abs=0.011)
    assert found["compute"] == pytest.approx(on_cpu["compute"], rel=0.02, abs=1.0)


def test_a_model_that_answers_takes_what_was_estimated(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)
    said = buffers_mib(path, n_ctx=2048, n_parallel=2)
    need = estimate(model_of(header_of_file(path)), "llama.cpp", None, ["-c", "2048", "-np", "2"], CPU_ONLY)
    found = {part.name: part.bytes / MIB for part in need.hosts[0].parts}
    assert found["weights"] == pytest.approx(said["CPU_Mapped"]["model"], abs=0.006)
    assert found["kv_cache"] == pytest.approx(said["CPU"]["context"], abs=0.006)
    assert found["output"] == pytest.approx(said["CPU"]["output"], abs=0.006)
    assert said["CPU"]["compute"] <= found["compute"] <= said["CPU"]["compute"] + 1
