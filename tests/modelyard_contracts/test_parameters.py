import pytest
from modelyard_contracts.parameters import BadParameters, split_parameters, value_of


@pytest.mark.parametrize(
    "parameters",
    [("--ctx-size", "4096"), ("--ctx-size 4096",), ("--ctx-size  '4096'",)],
)
def test_one_argument_in_its_spellings(parameters: tuple[str, ...]) -> None:
    assert split_parameters(parameters) == ["--ctx-size", "4096"]


def test_an_equals_sign_stays() -> None:
    assert split_parameters(["--ctx-size=4096"]) == ["--ctx-size=4096"]


def test_a_value_with_blanks_is_one_argument() -> None:
    assert split_parameters(["--chat-template", "{{ a b }}"]) == ["--chat-template", "{{ a b }}"]
    assert split_parameters(["--alias 'my model'"]) == ["--alias", "my model"]


def test_an_open_quote_is_named() -> None:
    with pytest.raises(BadParameters, match="--alias 'my"):
        split_parameters(["--alias 'my"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--max-model-len=8192"], "8192"),
        (["--max_model_len", "8192"], "8192"),
        (["--max-model-len", "1", "--max-model-len", "2"], "2"),
        (["--max-model-len", "--other"], ""),
        (["--max-model-len", "-1"], "-1"),
        (["--other", "8192"], None),
    ],
)
def test_the_last_value_of_a_flag_counts(arguments: list[str], says: str | None) -> None:
    assert value_of(arguments, "--max-model-len") == says
