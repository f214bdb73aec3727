"""Programs of backends that are not on PATH."""

import sys

import pytest
from modelyard_worker_agent.adapters.programs import Programs


@pytest.mark.parametrize(
    ("command", "run"),
    [
        (("vllm", "serve", "/m"), ("/opt/vllm/bin/vllm", "serve", "/m")),
        (("sh", "-c", "ray start && exec vllm serve /m"), ("sh", "-c", "ray start && exec vllm serve /m")),
        (("ray", "start", "--block"), ("ray", "start", "--block")),
        ((sys.executable, "-m", "ours"), (sys.executable, "-m", "ours")),
    ],
)
def test_the_program_of_this_machine_stands_in_for_the_backends_own_word_only(
    command: tuple[str, ...], run: tuple[str, ...]
) -> None:
    programs = Programs({"vLLM": "/opt/vllm/bin/vllm"})
    assert programs.command("vLLM", command) == run
    assert programs.command("SGLang", command) == command
    assert programs.directories("vLLM") == ("/opt/vllm/bin",)
