import pytest
from modelyard_worker_agent.domain.hub_files import NoSuchFile, choose_files

SIZES = {
    "README.md": 1,
    "m-Q4.gguf": 40,
    "m-Q8.gguf": 80,
    "big/m-F16-00001-of-00002.gguf": 10,
    "big/m-F16-00002-of-00002.gguf": 150,
}


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        (None, ("m-Q4.gguf",)),
        ("m-Q8.gguf", ("m-Q8.gguf",)),
        ("*Q8*", ("m-Q8.gguf",)),
        ("*F16*", ("big/m-F16-00001-of-00002.gguf", "big/m-F16-00002-of-00002.gguf")),
    ],
)
def test_the_pattern_means(pattern: str | None, files: tuple[str, ...]) -> None:
    assert choose_files("org/m", SIZES, pattern) == files


@pytest.mark.parametrize(
    ("sizes", "pattern", "says"),
    [
        ({"a.safetensors": 1}, None, "no .gguf"),
        (SIZES, "*Q5*", "no file like"),
        (SIZES, "*00002-of*", "later part"),
    ],
)
def test_a_no_says_what_there_is(sizes: dict[str, int], pattern: str | None, says: str) -> None:
    with pytest.raises(NoSuchFile, match=says):
        choose_files("org/m", sizes, pattern)
