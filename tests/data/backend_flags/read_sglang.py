"""Prints the flags of SGLang's own argument parser as JSON, by how many values they take.

It needs no GPU: `pip install --no-deps sglang`, and torch for the CPU with what else it imports.

    python read_sglang.py > sglang.json
"""

import argparse
import importlib.metadata
import json
from collections import defaultdict

from sglang.srt.server_args import ServerArgs


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    ServerArgs.add_cli_args(parser)
    flags: dict[str, list[str]] = defaultdict(list)
    for action in parser._actions:
        kind = "one" if action.nargs is None else "none" if action.nargs == 0 else "several"
        flags[kind] += [name for name in action.option_strings if name.startswith("-")]
    version = importlib.metadata.version("sglang")
    print(json.dumps({"version": version, **{kind: sorted(flags[kind]) for kind in flags}}))


if __name__ == "__main__":
    main()
