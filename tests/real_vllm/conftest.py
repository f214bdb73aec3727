"""A vLLM that is installed elsewhere: `make test-vllm VLLM=/path/to/bin/vllm`."""

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def vllm() -> Path:
    """Its program."""
    named = os.environ.get("MODELYARD_TEST_VLLM", "")
    if not named:
        pytest.skip("no vLLM: MODELYARD_TEST_VLLM names no program (see make test-vllm)")
    return Path(named)


@pytest.fixture(scope="session")
def tiny_llama(vllm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in Hugging Face's layout."""
    directory = tmp_path_factory.mktemp("models") / "tiny-llama"
    subprocess.run([vllm.parent / "python", HERE / "make_tiny_model.py", directory], check=True)
    return directory
