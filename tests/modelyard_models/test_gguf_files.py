"""Which files of a repository a pattern means."""

import pytest
from modelyard_models.gguf_files import NoSuchFile, choose_model, projector_in

SIZES = {
    "README.md": 1,
    "m-Q4.gguf": 40,
    "m-Q8.gguf": 80,
    "mmproj-m.gguf": 1,
    "big/m-F16-00001-of-00002.gguf": 10,
    "big/m-F16-00002-of-00002.gguf": 150,
}


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("m-Q8.gguf", ("m-Q8.gguf",)),
        ("*Q8*", ("m-Q8.gguf",)),
        ("*F16*", ("big/m-F16-00001-of-00002.gguf", "big/m-F16-00002-of-00002.gguf")),
    ],
)
def test_the_pattern_means(pattern: str, files: tuple[str, ...]) -> None:
    assert choose_model("org/m", SIZES, pattern) == files


@pytest.mark.parametrize(
    ("sizes", "pattern", "says"),
    [
        ({"a.safetensors": 1}, None, r"holds no \.gguf file"),
        ({"mmproj-a.gguf": 1}, None, r"holds no \.gguf file"),
        (SIZES, "*Q5*", "no model in a file like"),
        (SIZES, "*00002-of*", "no model in a file like"),
        ({"a-00001-of-00002.gguf": 1}, None, "lacks a-00002-of-00002.gguf"),
    ],
)
def test_a_no_says_what_there_is(sizes: dict[str, int], pattern: str | None, says: str) -> None:
    with pytest.raises(NoSuchFile, match=says):
        choose_model("org/m", sizes, pattern)


def test_the_projector_lies_beside_its_model() -> None:
    assert projector_in(SIZES, "m-Q4.gguf") == "mmproj-m.gguf"
    assert projector_in(SIZES, "big/m-F16-00001-of-00002.gguf") is None
