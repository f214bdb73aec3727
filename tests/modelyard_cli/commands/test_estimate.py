"""`modelyard estimate` as a person calls it."""

import json
from pathlib import Path

import pytest
from gguf_shapes import model_sizes, write_sparse
from hub_server import hub_server, safetensors
from modelyard_cli.errors import UsageError
from modelyard_cli.main import app_for
from modelyard_models_hub import fill
from real_models import config_of
from tiny_gguf import write_tiny_gguf
from typer.testing import CliRunner, Result

app = app_for("estimate")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config_of("Qwen/Qwen3-8B")))
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["estimate", *map(str, arguments)])


def test_the_parts_are_shown_and_the_status_is_0_where_they_fit(config: Path) -> None:
    result = run(
        "--config", config, "--gpus", "2xH100", "--backend", "vllm", "--param", "--max-model-len=32768"
    )
    assert result.exit_code == 0
    for shown in (
        "DEVICES 0-1, EACH",
        "weights",
        "kv_cache",
        "one sequence of 32768 tokens",
        "margin",
        "high",
    ):
        assert shown in result.output


def test_the_status_is_3_where_it_does_not_fit(config: Path) -> None:
    result = run("--config", config, "--gpus", "8GiB")
    assert result.exit_code == 3
    assert "are needed, and 0.92 of 8.00 GiB is 7.36 GiB" in result.output


def test_json_holds_every_part_and_the_sums(config: Path) -> None:
    result = run("--config", config, "--gpus", "H100", "--backend-version", "0.19.0", "--output", "json")
    device = json.loads(result.output)["devices"][0]
    assert device["needed_bytes"] == sum(part["bytes"] for part in device["parts"]) + device["margin_bytes"]
    assert json.loads(result.output)["fits"] is True


def test_a_directory_here_is_read_and_its_weights_are_counted_once(config: Path) -> None:
    header = b'{"t":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}'
    weights = config.parent / "model.safetensors"
    weights.write_bytes(len(header).to_bytes(8, "little") + header)
    with weights.open("ab") as file:
        file.truncate(16_381_470_720)  # sparse: no disk is taken
    (config.parent / "pytorch_model.bin").write_bytes(b"the same again")
    result = run(config.parent, "--gpus", "H100", "-o", "json")
    assert result.exit_code == 0, result.output
    weights_part = json.loads(result.output)["devices"][0]["parts"][0]
    assert weights_part["bytes"] == 16_381_470_720 + 40960 * 128 * 2


def test_a_gguf_file_here_runs_with_llama_cpp(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf")
    result = run(tmp_path / "tiny.gguf", "--gpus", "24GiB")
    assert result.exit_code == 0, result.output
    assert "with llama.cpp" in result.output
    assert "layers on devices" in result.output


@pytest.mark.parametrize(
    ("model", "backend"), [("org/tiny", "vLLM"), ("org/tiny-gguf/tiny-F32.gguf", "llama.cpp")]
)
def test_a_repository_of_a_hub_is_read(
    model: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_server() as hub:
        fill(hub, tmp_path)
        monkeypatch.setenv("MODELYARD_HUGGINGFACE_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELYARD_MODEL_CACHE", str(tmp_path / "cache"))
        result = run(model, "--gpus", "24GiB", "-o", "json")
        missing = run("org/none", "--gpus", "24GiB").exception
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["backend"] == backend
    assert isinstance(missing, UsageError)
    assert "org/none" in missing.message


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    result = run(tmp_path / "none", "--gpus", "H100").exception
    assert isinstance(result, UsageError)
    assert "none" in result.message
    neither = run("only-a-name", "--gpus", "H100").exception
    assert isinstance(neither, UsageError)
    assert "'only-a-name' is no path here and no repository" in neither.message


def test_several_workers_are_several_options(config: Path) -> None:
    result = run(
        "--config",
        config,
        "--gpus",
        "2x24GiB",
        "--gpus",
        "2x24GiB",
        "-p",
        "--max-model-len=4096",
        "-o",
        "json",
    )
    assert [host["worker"] for host in json.loads(result.output)["hosts"]] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus", "2xH1000"], "--gpus 2xH1000: that device is not known"),
        (["--gpus", "0xH100"], "between 1 and 1024"),
        (["--gpus", "H100", "--param", "--tensor-parallel-size=3"], "3 x 1 x 1 devices are wanted"),
        (["--gpus", "H100", "--param", "--max-model-len=long"], "--max-model-len: 'long' is no whole number"),
        (["--gpus", "H100", "--backend", "mine"], "'mine' needs cannot be estimated"),
    ],
)
def test_bad_input_is_named(config: Path, arguments: list[str], message: str) -> None:
    result = run("--config", config, *arguments)
    assert isinstance(result.exception, UsageError)
    assert message in result.exception.message
    assert result.exception.exit_code == 2


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = run("--config", tmp_path / "none.json", "--gpus", "H100").exception
    assert isinstance(missing, UsageError)
    assert "No such file" in missing.message
    broken = tmp_path / "config.json"
    broken.write_text('{"hidden_size": ' + "[" * 10_000)
    result = run("--config", broken, "--gpus", "H100").exception
    assert isinstance(result, UsageError)
    assert "config.json" in result.message


def test_adapters_a_draft_model_and_an_extended_cache_are_counted(config: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "law"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"r": 32}')
    (adapter / "adapter_model.safetensors").write_bytes(safetensors({"w": ("F16", (10**6,))}))
    draft = tmp_path / "draft"
    draft.mkdir()
    (draft / "config.json").write_text(json.dumps(config_of("Qwen/Qwen3-0.6B")))
    (draft / "model.safetensors").write_bytes(safetensors({"w": ("BF16", (10**6,))}))
    asked = ("--config", config, "--gpus", "H100", "--backend", "vllm", "--output", "json")
    more = ("--lora", adapter, "--param", "--enable-lora", "--draft-model", draft)
    told = json.loads(run(*asked, *more, "--kv-cache-ram-gib", 40).output)
    assert {"adapters", "draft"} <= {part["name"] for part in told["devices"][0]["parts"]}
    (extended,) = [part for part in told["hosts"][0]["parts"] if part["name"] == "extended_kv_cache"]
    assert extended["bytes"] == 40 * 1024**3
    refused = CliRunner().invoke(app, ["estimate", *map(str, asked), "--kv-cache-ram-ratio", "-1"])
    assert isinstance(refused.exception, UsageError)
    assert "--kv-cache-ram-ratio" in refused.exception.message


def test_of_several_gguf_files_the_smallest_good_one_that_fits_is_estimated(tmp_path: Path) -> None:
    large = model_sizes()["llama-3.2-1b"]
    write_sparse(tmp_path / "m-Q2_K.gguf", model_sizes()["qwen3-0.6b"], "Q4_0")
    write_sparse(tmp_path / "m-Q4_K_M.gguf", large, "Q4_K_M")
    write_sparse(tmp_path / "m-F16.gguf", large, "F16")
    roomy = run(tmp_path, "--gpus", "24GiB", "--param", "--ctx-size=2048")
    assert "m-Q4_K_M.gguf: the smallest that loses little" in roomy.output
    small = json.loads(run(tmp_path, "--gpus", "1.2GiB", "-p", "--ctx-size=512", "-o", "json").output)
    assert small["model_file"] == "m-Q2_K.gguf"
    assert "there is none for m-Q4_K_M.gguf" in small["model_file_reason"]


def test_a_pipeline_needs_the_same_whatever_the_version(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    (tmp_path / "unet.safetensors").write_bytes(safetensors({"w": ("BF16", (1000,))}))
    assert "SGLang any version" in run(tmp_path, "--gpus", "80GiB").output
