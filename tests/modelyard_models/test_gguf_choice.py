"""Which file is taken of a repository that holds many."""

import pytest
from modelyard_models.gguf_choice import quantization_in, smallest_good
from modelyard_models.gguf_files import choices_in, choose_model

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
    if memory_gib is None:
        return smallest_good(choices_in(SIZES)).choice.file
    return smallest_good(choices_in(SIZES), lambda one: one.bytes <= memory_gib * GIB).choice.file


@pytest.mark.parametrize(
    ("memory_gib", "name"),
    [
        (None, "m-Q4_K_M.gguf"),
        (24, "m-Q4_K_M.gguf"),
        (4.5, "m-Q3_K_M.gguf"),
        (3, "m-Q2_K.gguf"),
        (1, "m-Q2_K.gguf"),
    ],
)
def test_the_smallest_that_loses_little_and_fits(memory_gib: float | None, name: str) -> None:
    assert chosen(memory_gib) == name


def test_a_pattern_narrows_the_choice() -> None:
    assert choose_model("org/m", SIZES, None) == ("m-Q4_K_M.gguf",)
    assert choose_model("org/m", SIZES, "*F16*") == ("m-F16-00001-of-00002.gguf", "m-F16-00002-of-00002.gguf")


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


def test_a_name_in_full_means_itself_whatever_characters_it_has() -> None:
    sizes = {"m[1]-Q4_0.gguf": 5, "m1-Q4_0.gguf": 4}
    assert choose_model("org/m", sizes, "m[1]-Q4_0.gguf") == ("m[1]-Q4_0.gguf",)


def test_a_model_of_which_a_part_is_missing_is_no_choice() -> None:
    sizes = {"m-Q4_0-00001-of-00002.gguf": 1, "m-Q8_0.gguf": 9}
    assert choose_model("org/m", sizes, None) == ("m-Q8_0.gguf",)


def test_a_choice_says_why() -> None:
    choices = choices_in(SIZES)
    assert smallest_good(choices).why == "the smallest that loses little"
    assert smallest_good(choices, lambda one: one.bytes < 5 * GIB).why == (
        "the best that there is room for: there is none for m-Q4_K_M.gguf (5.0 GiB)"
    )
    assert smallest_good(choices, lambda _: False).why.startswith("the smallest there is, though")
