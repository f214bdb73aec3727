"""Reads command lines with vLLM's own parser. Runs in the environment that has vLLM.

python parse_arguments.py < JSON list of argument lists, each from `serve` on; prints what it read, as JSON
"""

import json
import sys

from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser

SHOWN = (
    "model_tag",
    "host",
    "port",
    "served_model_name",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "gpu_memory_utilization",
    "max_model_len",
    "distributed_executor_backend",
    "nnodes",
    "node_rank",
    "master_addr",
    "master_port",
    "headless",
    "enable_lora",
    "max_loras",
    "max_lora_rank",
    "speculative_config",
    "kv_transfer_config",
    "hf_overrides",
)


def main() -> None:
    read = []
    for arguments in json.load(sys.stdin):
        parser = make_arg_parser(FlexibleArgumentParser())
        said = parser.parse_args(arguments)
        validate_parsed_serve_args(said)
        shown = {name: getattr(said, name, None) for name in SHOWN}
        shown["lora_modules"] = [[module.name, module.path] for module in said.lora_modules or []]
        read.append(shown)
    json.dump(read, sys.stdout, default=str)


if __name__ == "__main__":
    main()
