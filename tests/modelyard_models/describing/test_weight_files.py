"""Each weight is counted once, in whichever formats a repository holds it."""

import pytest
from model_repositories import Json, files_of
from modelyard_models.describing.weight_files import weight_files

FLUX: Json = {
    "model_index.json": {
        "_class_name": "FluxPipeline",
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "safety_checker": [None, None],
    }
}


@pytest.mark.parametrize(
    ("names", "loaded"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["model.safetensors", "model.fp16.safetensors"], ["model.safetensors"]),
        (["model.fp16.safetensors"], ["model.fp16.safetensors"]),
        (["model.safetensors", "consolidated.safetensors"], ["model.safetensors"]),
        (["consolidated.safetensors", "params.json"], ["consolidated.safetensors"]),
        (["model.safetensors", "original/consolidated.00.pth", "onnx/model.onnx"], ["model.safetensors"]),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors"],
         ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]),
        (["pytorch_model.bin", "training_args.bin", "optimizer.pt"], ["pytorch_model.bin"]),
        (["model.safetensors", "2_Dense/model.safetensors", "1_Pooling/config.json"],
         ["model.safetensors", "2_Dense/model.safetensors"]),
        (["model.bin", "vocabulary.json"], ["model.bin"]),
        (["README.md"], []),
    ],
)  # fmt: skip
def test_one_set_of_files_is_loaded(names: list[str], loaded: list[str]) -> None:
    assert list(weight_files(files_of("org/model", sizes=dict.fromkeys(names, 5)))) == loaded


def test_the_index_names_the_files() -> None:
    index = {"model.safetensors.index.json": {"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}}
    sizes = {"x-1.safetensors": 1, "x-2.safetensors": 2, "x-3.safetensors": 4}
    assert weight_files(files_of("org/model", index, sizes)) == ("x-1.safetensors", "x-2.safetensors")


def test_a_stale_index_is_not_believed() -> None:
    index = {"model.safetensors.index.json": {"weight_map": {"a": "gone.safetensors"}}}
    assert weight_files(files_of("org/model", index, {"model.safetensors": 1})) == ("model.safetensors",)


def test_a_pipeline_loads_its_parts_in_half_precision() -> None:
    sizes = {
        "flux1-dev.safetensors": 24,
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors": 10,
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors": 10,
        "vae/diffusion_pytorch_model.safetensors": 4,
        "vae/diffusion_pytorch_model.fp16.safetensors": 2,
        "vae/diffusion_pytorch_model.bin": 4,
        "safety_checker/model.safetensors": 1,
    }
    assert weight_files(files_of("org/flux", FLUX, sizes)) == (
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    )
