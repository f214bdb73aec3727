"""Prints how far estimates are from measured memory; exit status 1 if a target is missed."""

import sys

from bench_estimate import llama_cpp
from bench_estimate.report import print_comparisons

BACKENDS = {"llama.cpp": llama_cpp.compare}


def main() -> int:
    missed = 0
    for name, compare in BACKENDS.items():
        missed += print_comparisons(name, compare())
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
