"""Runs llama.cpp's own HTTP server in this process, through `xllamacpp`.

    python -m modelyard_worker_agent.launchers.llama_cpp --model FILE [--report FILE] [llama-server flags]

Once it listens, its address goes to the report file, if there is one. It ends on SIGTERM. Exit codes:
0 asked to end, 2 bad argument, 3 the model could not be loaded.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

DEFAULT_CONTEXT = 4096
BAD_ARGUMENT = 2
NOT_LOADED = 3

POOLING = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}
CACHE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "bf16": 30}
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
SPECULATION = ("none", "draft-simple", "draft-eagle3", "draft-mtp", "ngram-simple")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        sys.stderr.write(f"bad argument: {message}\n")
        sys.exit(BAD_ARGUMENT)


def _shares(text: str) -> list[float]:
    return [float(share) for share in text.split(",")]


def _scaled(text: str) -> tuple[str, float]:
    path, _, scale = text.rpartition(":")
    return path, float(scale)


def parser() -> argparse.ArgumentParser:
    """The llama-server flags that we pass on, by their own names."""
    made = _Parser(prog="llama_cpp", allow_abbrev=False)
    made.add_argument("--model", required=True)
    made.add_argument("--report", type=Path)
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=int, default=0)
    made.add_argument("--ctx-size", "-c", type=int, default=DEFAULT_CONTEXT)
    made.add_argument("--parallel", "-np", type=int, default=1)
    made.add_argument("--threads", "-t", type=int)
    made.add_argument("--batch-size", "-b", type=int)
    made.add_argument("--ubatch-size", "-ub", type=int)
    made.add_argument("--n-gpu-layers", "--gpu-layers", "-ngl", type=int)
    made.add_argument("--tensor-split", "-ts", type=_shares)
    made.add_argument("--alias", "-a")
    made.add_argument("--embedding", "--embeddings", action="store_true")
    made.add_argument("--reranking", "--rerank", action="store_true")
    made.add_argument("--pooling", choices=POOLING)
    made.add_argument("--cache-type-k", "-ctk", choices=CACHE_TYPES)
    made.add_argument("--cache-type-v", "-ctv", choices=CACHE_TYPES)
    made.add_argument("--flash-attn", "-fa", choices=FLASH_ATTENTION)
    made.add_argument("--no-warmup", action="store_true")
    made.add_argument("--metrics", action="store_true")
    made.add_argument("--chat-template")
    made.add_argument("--seed", type=int)
    made.add_argument("--n-predict", "-n", type=int)
    made.add_argument("--mmproj", "-mm")
    made.add_argument("--no-mmproj", action="store_true")
    made.add_argument("--lora", action="append", default=[], type=lambda path: (path, 1.0))
    made.add_argument("--lora-scaled", action="append", dest="lora", type=_scaled)
    made.add_argument("--cache-prompt", action=argparse.BooleanOptionalAction, default=True)
    made.add_argument("--spec-type", choices=SPECULATION)
    made.add_argument("--model-draft", "--spec-draft-model", "-md")
    made.add_argument("--spec-draft-n-max", type=int)
    made.add_argument("--spec-ngram-simple-size-n", type=int)
    made.add_argument("--spec-ngram-simple-size-m", type=int)
    return made


def parameters(flags: argparse.Namespace) -> Any:
    """`xllamacpp.CommonParams` as the flags say; what was not said stays llama.cpp's default."""
    import xllamacpp

    made = xllamacpp.CommonParams()
    made.model.path = flags.model
    made.hostnames = [flags.host]
    made.port = flags.port
    made.cors_origins = ""
    made.ui = False
    made.endpoint_props = False
    made.n_ctx = flags.ctx_size
    made.warmup = not flags.no_warmup
    made.endpoint_metrics = flags.metrics
    made.cache_prompt = flags.cache_prompt
    made.embedding = flags.embedding or flags.reranking
    if flags.reranking:
        made.pooling_type = POOLING["rank"]
    said = {
        "n_parallel": flags.parallel,
        "n_batch": flags.batch_size,
        "n_ubatch": flags.ubatch_size,
        "n_gpu_layers": flags.n_gpu_layers,
        "n_predict": flags.n_predict,
        "tensor_split": flags.tensor_split,
        "pooling_type": POOLING.get(flags.pooling),
        "cache_type_k": CACHE_TYPES.get(flags.cache_type_k),
        "cache_type_v": CACHE_TYPES.get(flags.cache_type_v),
        "flash_attn_type": FLASH_ATTENTION.get(flags.flash_attn),
        "chat_template": flags.chat_template,
    }
    for name, value in said.items():
        if value is not None:
            setattr(made, name, value)
    if flags.alias:
        made.model_alias = {flags.alias}
    if flags.threads:
        made.cpuparams.n_threads = flags.threads
        made.cpuparams_batch.n_threads = flags.threads
    if flags.seed is not None:
        made.sampling.seed = flags.seed
    if flags.mmproj and not flags.no_mmproj:
        made.mmproj.path = flags.mmproj
    made.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, scale) for path, scale in flags.lora]
    _speculate(flags, made.speculative)
    return made


def _speculate(flags: argparse.Namespace, made: Any) -> None:
    import xllamacpp

    if flags.spec_type:
        name = f"COMMON_SPECULATIVE_TYPE_{flags.spec_type.upper().replace('-', '_')}"
        made.types = [xllamacpp.common_speculative_type[name]]
    made.draft.mparams.path = flags.model_draft or ""
    if flags.spec_draft_n_max is not None:
        made.draft.n_max = flags.spec_draft_n_max
    if flags.spec_ngram_simple_size_n is not None:
        made.ngram_simple.size_n = flags.spec_ngram_simple_size_n
    if flags.spec_ngram_simple_size_m is not None:
        made.ngram_simple.size_m = flags.spec_ngram_simple_size_m


def write_report(path: Path, address: str) -> None:
    """Atomically: `{"address", "pid", "version"}`."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(
        json.dumps({"address": address, "pid": os.getpid(), "version": version("xllamacpp")})
    )
    temporary.replace(path)


def main(argv: Sequence[str]) -> int:
    flags = parser().parse_args(argv)
    if not Path(flags.model).is_file():
        sys.stderr.write(f"model not found: {flags.model}\n")
        return NOT_LOADED
    import xllamacpp

    try:
        made = parameters(flags)
    except (TypeError, ValueError, OverflowError) as error:
        sys.stderr.write(f"bad argument: {error}\n")
        return BAD_ARGUMENT
    try:
        server = xllamacpp.Server(made)
    except RuntimeError as error:
        sys.stderr.write(f"failed to load {flags.model}: {error}\n")
        return NOT_LOADED
    asked = hear_the_request_to_end()
    if flags.report is not None:
        write_report(flags.report, server.listening_address)
    os.read(asked, 1)
    del server
    return 0


def hear_the_request_to_end() -> int:
    """A descriptor that can be read once SIGTERM or SIGINT came. While a model is loading these end the
    process as they always do; a pipe, since a handler must not wait for a lock that its thread holds."""
    reading, writing = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(writing, b"."))
    return reading


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
