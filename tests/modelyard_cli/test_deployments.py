from pathlib import Path

import pytest
from modelyard_cli.deployments import assignments, name_from, progress, source_fields
from modelyard_cli.errors import UsageError


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/models/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct.q4_1"),
        ("Qwen/Qwen3-0.6B-GGUF", "qwen3-0.6b-gguf"),
        ("/models/my model/", "my-model"),
        ("/models/___", "model"),
        ("/models/" + "a" * 80, "a" * 63),
    ],
)
def test_a_name_is_made_from_the_source(source: str, name: str) -> None:
    assert name_from(source) == name


def test_an_existing_path_is_a_local_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "repo").write_text("")
    monkeypatch.chdir(tmp_path)
    assert source_fields("org/repo", None) == {
        "source": "local_path",
        "local_path": str(tmp_path / "org" / "repo"),
    }


def test_what_looks_like_a_path_is_one_though_it_is_only_on_the_workers() -> None:
    assert source_fields("/models/a.gguf", None)["local_path"] == "/models/a.gguf"


def test_a_repository_may_name_its_file() -> None:
    assert source_fields("org/repo", "*Q4*.gguf") == {
        "source": "huggingface",
        "huggingface_repo_id": "org/repo",
        "huggingface_filename": "*Q4*.gguf",
    }


def test_anything_else_is_refused() -> None:
    with pytest.raises(UsageError, match="neither a path"):
        source_fields("no-such-thing", None)


def test_assignments_need_a_name_and_an_equals_sign() -> None:
    assert assignments(["A=1", "B=x=y", "C="], "--env") == {"A": "1", "B": "x=y", "C": ""}
    for bad in ("A", "=1"):
        with pytest.raises(UsageError, match="--env takes NAME=VALUE"):
            assignments([bad], "--env")


def test_progress_is_one_line() -> None:
    assert progress({"name": "a-1", "state": "pending", "state_message": "no room\nvm: ram"}) == (
        "a-1: pending (no room)"
    )
    assert progress({"name": "a-1", "state": "running", "state_message": None}) == "a-1: running"
