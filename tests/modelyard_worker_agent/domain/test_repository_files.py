import pytest
from modelyard_models.gguf_files import NoSuchFile
from modelyard_worker_agent.domain.repository_files import BadRepository, served, wanted_files


def wanted(*names: str, pattern: str | None = None) -> tuple[str, ...]:
    return wanted_files("org/m", dict.fromkeys(names, 1), pattern, {})


def test_each_weight_comes_once_with_what_is_read_beside_it() -> None:
    files = wanted(
        *("config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "original/params.json"),
        *("tokenizer.model", ".gitattributes", "logo.png", "m-Q4.gguf"),
    )

    assert files == ("model.safetensors", "config.json", "tokenizer.model")
    assert served(files) == ""


def test_a_repository_of_gguf_files_only_is_one_of_them() -> None:
    files = wanted("m-Q4_K_M.gguf", "mmproj-F16.gguf", "README.md")

    assert files == ("m-Q4_K_M.gguf", "mmproj-F16.gguf")
    assert served(files) == "m-Q4_K_M.gguf"


def test_an_adapter_comes_with_its_configuration() -> None:
    assert set(wanted("adapter_config.json", "adapter_model.safetensors")) == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_a_pattern_means_other_files_too() -> None:
    assert wanted("a.safetensors", "b.safetensors", pattern="a.*") == ("a.safetensors",)
    with pytest.raises(NoSuchFile, match=r"no file like c\.\*; it has a\.safetensors"):
        wanted("a.safetensors", pattern="c.*")


@pytest.mark.parametrize("name", ["../x.gguf", "/etc/x.gguf", "a/../../x.gguf", "a\\..\\x.gguf"])
def test_a_name_that_leads_out_of_the_directory_is_refused(name: str) -> None:
    with pytest.raises(BadRepository, match="leads out of its directory"):
        wanted(name)
