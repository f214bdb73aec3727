"""What an agent says of a path: what the same library would read of it anywhere."""

import json
from pathlib import Path

from modelyard_contracts.messages import PathAnswer, PathQuestion
from modelyard_contracts.models import ModelFormat
from modelyard_worker_agent.adapters.local_models import answer_path
from tiny_gguf import CONTEXT, write_tiny_gguf


async def said_of(path: Path) -> PathAnswer:
    return await answer_path(PathQuestion(path=str(path)))


async def test_a_gguf_file_and_the_folder_of_one_are_described_by_its_header(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_tiny_gguf(file)
    for path in (file, tmp_path):
        answer = await said_of(path)
        assert answer.found
        assert answer.file == str(file)
        assert (answer.architecture, answer.context_length) == ("llama", CONTEXT)
        assert answer.weight_bytes == file.stat().st_size
        assert answer.facts is not None
        assert answer.facts.location == str(path)
        assert answer.facts.format is ModelFormat.GGUF


async def test_a_folder_in_the_layout_of_hugging_face_is_described_by_its_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    answer = await said_of(tmp_path)
    assert answer.facts is not None
    assert answer.file == str(tmp_path)
    assert answer.weight_bytes == 10
    assert answer.facts.config == {"architectures": ["LlamaForCausalLM"]}


async def test_what_is_not_there_or_no_model_is_said_so(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "a-00001-of-00002.gguf")
    broken = tmp_path / "broken" / "b.gguf"
    broken.parent.mkdir()
    broken.write_bytes(b"no model")
    for path, why in (
        (tmp_path / "none.gguf", "does not exist here"),
        (tmp_path / "a-00001-of-00002.gguf", "a-00002-of-00002.gguf"),
        (broken, "not a GGUF file"),
        (Path("/etc/passwd"), "neither a directory nor a .gguf file"),
    ):
        answer = await said_of(path)
        assert not answer.found
        assert answer.facts is None
        assert why in answer.message
