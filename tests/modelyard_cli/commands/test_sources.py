"""`modelyard search` and `inspect`, as a shell runs them, straight against a hub and through an api."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, hub_server
from modelyard_models_hub import fill


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with hub_server() as server:
        fill(server, tmp_path)
        yield server


def run(hub: Hub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelyard_cli", *arguments],
        env={**os.environ, "HOME": str(home), "HF_ENDPOINT": hub.url, "MODELSCOPE_ENDPOINT": hub.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("source", ["huggingface", "modelscope"])
def test_models_are_found_without_an_api(hub: Hub, tmp_path: Path, source: str) -> None:
    done = run(hub, tmp_path, "search", "tiny", "--direct", "--source", source, "--sort", "likes")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["MODEL", "DOWNLOADS", "LIKES", "UPDATED", "TASK"]
    assert [line[0] for line in lines[1:]] == ["org/tiny", "org/tiny-gguf"]


def test_a_model_is_shown_with_the_files_to_choose_from(hub: Hub, tmp_path: Path) -> None:
    done = run(hub, tmp_path, "inspect", "org/tiny-gguf", "--direct")
    assert done.returncode == 0, done.stderr
    assert "llama.cpp" in done.stdout
    assert "2048" in done.stdout
    assert "tiny-padded.gguf" in done.stdout
    path = run(hub, tmp_path, "inspect", str(tmp_path / "tiny-F32.gguf"), "--direct", "--output", "json")
    assert json.loads(path.stdout)["facts"]["context_length"] == 2048


def test_a_file_may_be_named_with_its_repository_and_a_path_may_be_relative(hub: Hub, tmp_path: Path) -> None:
    done = run(hub, tmp_path, "inspect", "org/tiny-gguf/tiny-padded.gguf", "--direct")
    assert "tiny-padded.gguf" in done.stdout.partition("GGUF FILE")[0], done.stderr
    relative = os.path.relpath(tmp_path / "tiny-F32.gguf")
    assert run(hub, tmp_path, "inspect", relative, "--direct").returncode == 0
    missing = run(hub, tmp_path, "inspect", "./none.gguf", "--direct")
    assert f"{Path.cwd()}/none.gguf does not exist here" in missing.stderr


def test_beyond_the_last_page_there_are_no_more(hub: Hub, tmp_path: Path) -> None:
    done = run(hub, tmp_path, "search", "tiny", "--direct", "--page", "2")
    assert done.stdout == "huggingface has no more models named like 'tiny'.\n"


def test_what_cannot_be_had_is_one_sentence(hub: Hub, tmp_path: Path) -> None:
    done = run(hub, tmp_path, "inspect", "org/none", "--direct")
    assert done.returncode == 1
    assert done.stderr.startswith("modelyard: org/none at http://127.0.0.1:")
    assert "does not exist" in done.stderr
    misused = run(hub, tmp_path, "inspect", "/a.gguf", "--file", "b.gguf")
    assert misused.returncode == 2
