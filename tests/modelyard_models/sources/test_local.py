"""Of this machine only files that describe models are read."""

import json
import os
from pathlib import Path

import pytest
from modelyard_contracts.deployments import Source
from modelyard_models.sources.errors import BadAnswer, BadCoordinates, NotThere
from modelyard_models.sources.inspecting import inspect
from modelyard_models.sources.local import LocalFiles
from modelyard_models.sources.port import Search
from modelyard_models_hub import CONFIG, at
from tiny_gguf import write_tiny_gguf

SOURCE = LocalFiles()


def test_a_projector_beside_a_gguf_file_is_found_and_other_models_are_not_counted(tmp_path: Path) -> None:
    for name in ("tiny.gguf", "other.gguf", "mmproj-tiny.gguf"):
        write_tiny_gguf(tmp_path / name)
    found = inspect(SOURCE, at(Source.LOCAL_PATH, str(tmp_path / "tiny.gguf")))
    assert found.repository.sizes.keys() == {"tiny.gguf", "mmproj-tiny.gguf"}
    assert found.facts.projector is not None


def test_links_into_the_cache_of_hugging_face_are_followed(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "abc"
    blob.parent.mkdir()
    blob.write_text(json.dumps(CONFIG))
    snapshot = tmp_path / "snapshots"
    snapshot.mkdir()
    (snapshot / "config.json").symlink_to(blob)
    (snapshot / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert inspect(SOURCE, at(Source.LOCAL_PATH, str(snapshot))).facts.config == CONFIG


def test_pipes_and_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    (tmp_path / "secrets.env").write_text("KEY=1")
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    repository = SOURCE.repository(str(tmp_path), None)
    assert "config.json" not in repository.sizes
    with pytest.raises(NotThere, match="no file that describes a model"):
        SOURCE.read(repository, "secrets.env", 0, 10)
    with pytest.raises(NotThere, match="no file that describes a model"):
        SOURCE.read(repository, "../../etc/config.json", 0, 10)


def test_paths_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCoordinates, match="no absolute path"):
        inspect(SOURCE, at(Source.LOCAL_PATH, "models/a.gguf"))
    with pytest.raises(NotThere, match="does not exist here"):
        inspect(SOURCE, at(Source.LOCAL_PATH, str(tmp_path / "a.gguf")))
    with pytest.raises(BadCoordinates):
        SOURCE.search(Search(text="a"))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadAnswer, match=r"config\.json is not valid JSON"):
        inspect(SOURCE, at(Source.LOCAL_PATH, str(tmp_path)))


def test_a_file_that_is_cut_short_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(BadAnswer) as refused:
        inspect(SOURCE, at(Source.LOCAL_PATH, str(path)))
    assert str(refused.value).startswith(f"{path}: the file ends within its header")
