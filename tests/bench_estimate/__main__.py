"""Prints how far estimates are from measured memory; exit status 1 if a target is missed."""

import sys

from bench_estimate import hugging_face, llama_cpp, vllm
from bench_estimate.report import print_comparisons
from bench_estimate.speed import print_times

BACKENDS = {
    "llama.cpp": llama_cpp.compare,
    "vLLM and SGLang": vllm.compare,
    "config.json": hugging_face.compare,
}


def main() -> int:
    missed = 0
    for name, compare in BACKENDS.items():
        missed += print_comparisons(name, compare())
    missed += print_times()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
