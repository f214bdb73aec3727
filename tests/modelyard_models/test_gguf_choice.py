"""Which file is taken of a repository that holds many."""

import pytest
from modelyard_models.gguf_choice import quantization_in, smallest_good
from modelyard_models.gguf_files import choose_model, models_in

GIB = 1024**3
SIZES = {
    "m-Q2_K.gguf": 3 * GIB,
    "m-Q3_K_M.gguf": 4 * GIB,
    "m-Q4_K_M.gguf": 5 * GIB,
    "m-Q8_0.gguf": 8 * GIB,
    "m-F16-00001-of-00002.gguf": 8 * GIB,
    "m-F16-00002-of-00002.gguf": 8 * GIB,
    "mmproj-F16.gguf": GIB,
}


def chosen(memory_gib: float | None) -> str:
    memory = None if memory_gib is None else int(memory_gib * GIB)
    return smallest_good(models_in(SIZES).values(), SIZES, memory)[0]


@pytest.mark.parametrize(
    ("memory_gib", "name"),
    [
        (None, "m-Q4_K_M.gguf"),
        (24, "m-Q4_K_M.gguf"),
        (5, "m-Q3_K_M.gguf"),
        (4, "m-Q2_K.gguf"),
        (1, "m-Q2_K.gguf"),
    ],
)
def test_the_smallest_that_loses_little_and_fits(memory_gib: float | None, name: str) -> None:
    assert chosen(memory_gib) == name


def test_a_pattern_narrows_the_choice() -> None:
    assert choose_model("org/m", SIZES, None) == ("m-Q4_K_M.gguf",)
    assert choose_model("org/m", SIZES, "*F16*") == ("m-F16-00001-of-00002.gguf", "m-F16-00002-of-00002.gguf")
    assert smallest_good([], {}) == ()


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("UD-Q4_K_XL/model-UD-Q4_K_XL-00001-of-00002.gguf", "Q4_K_XL"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("Q8_0/model-00001-of-00003.gguf", "Q8_0"),
        ("llama-3.2-1b-instruct-q4_0.gguf", "Q4_0"),
        ("model.gguf", None),
    ],
)
def test_quantizations_are_read_from_names(name: str, quantization: str | None) -> None:
    assert quantization_in(name) == quantization
