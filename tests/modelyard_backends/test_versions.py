import pytest
from modelyard_backends.builtin import BUILT_IN, CUSTOM, LLAMA_CPP, SGLANG, VLLM
from modelyard_backends.start import CannotStart
from modelyard_backends.versions import check_installed, frameworks_of, image_of, version_wanted
from modelyard_contracts.backends import BackendVersion, InferenceBackend


def test_the_deployments_version_beats_the_default() -> None:
    assert version_wanted(VLLM, "0.30.0") == "0.30.0"
    assert version_wanted(VLLM, None) == VLLM.default_version
    assert version_wanted(LLAMA_CPP, None) is None


def test_each_framework_has_its_image() -> None:
    assert image_of(VLLM, "0.30.0", "cuda") == "vllm/vllm-openai:v0.30.0"
    assert image_of(SGLANG, "0.5.23", "rocm") == "lmsysorg/sglang:v0.5.23-rocm700-mi30x"
    assert image_of(CUSTOM, None, "cuda", own_image="registry.local/mine:1") == "registry.local/mine:1"
    with pytest.raises(CannotStart, match=r"SGLang 1 has no image for cann; it has some for cuda, rocm"):
        image_of(SGLANG, "1", "cann")
    with pytest.raises(CannotStart, match="image_name is needed"):
        image_of(CUSTOM, None, "cpu")


def test_a_version_may_have_an_image_of_its_own() -> None:
    config = BackendVersion(image_name="mine/vllm:{{version}}-x", built_in_frameworks=("cuda",))
    backend = InferenceBackend(
        backend_name="x-custom", images={"cuda": "std:{{version}}"}, version_configs={"7-custom": config}
    )

    assert image_of(backend, "7-custom", "cuda") == "mine/vllm:7-custom-x"
    assert image_of(backend, "6", "cuda") == "std:6"
    assert set(frameworks_of(backend, "7-custom")) == {"cuda"}


def test_a_process_runs_what_is_installed() -> None:
    assert check_installed(VLLM, None, "0.32.0") == "0.32.0"
    assert check_installed(VLLM, "0.32.0", "0.32.0") == "0.32.0"
    with pytest.raises(CannotStart, match=r"backend_version: vLLM 0\.30\.0 is wanted, and this worker has"):
        check_installed(VLLM, "0.30.0", "0.32.0")


def test_built_in_backends_are_named_as_deployments_name_them() -> None:
    assert set(BUILT_IN) == {"vLLM", "SGLang", "MindIE", "VoxBox", "llama.cpp", "Custom"}
