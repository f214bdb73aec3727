import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.parameters import (
    BadParameters,
    as_parameters,
    flags_of,
    is_flag,
    name_of,
    split_parameters,
    value_of,
)

OVERRIDES = '{"architectures": ["NewModel"]}'
names = st.from_regex(r"\A--?[a-z][a-z_.-]{0,12}\Z")
values = st.text(min_size=1).filter(lambda text: not is_flag(text))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
json_texts = (
    st.lists(json_values, max_size=3) | st.dictionaries(st.text(max_size=5), json_values, max_size=3)
).map(json.dumps)


@pytest.mark.parametrize(
    "parameters",
    [("--ctx-size", "4096"), ("--ctx-size 4096",), ("--ctx-size  '4096'",)],
)
def test_one_argument_in_its_spellings(parameters: tuple[str, ...]) -> None:
    assert split_parameters(parameters) == ["--ctx-size", "4096"]


def test_an_equals_sign_stays() -> None:
    assert split_parameters(["--ctx-size=4096"]) == ["--ctx-size=4096"]


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ([f"--hf-overrides={OVERRIDES}"], [f"--hf-overrides={OVERRIDES}"]),
        ([f"--hf-overrides '{OVERRIDES}'"], ["--hf-overrides", OVERRIDES]),
        ([f"--hf-overrides {OVERRIDES} --seed 1"], ["--hf-overrides", OVERRIDES, "--seed", "1"]),
        (["--hf-overrides", OVERRIDES], ["--hf-overrides", OVERRIDES]),
        (["--temperature -0.5"], ["--temperature", "-0.5"]),
        (["--offset", "-1e5", "-7"], ["--offset", "-1e5", "-7"]),
        (["--host [::1]:80"], ["--host", "[::1]:80"]),
    ],
)
def test_json_and_negative_numbers_are_values(parameters: list[str], arguments: list[str]) -> None:
    assert split_parameters(parameters) == arguments


def test_a_pasted_command_line_is_read_as_a_shell_would() -> None:
    pasted = '--max-model-len 8192 \\\n  --hf-overrides={"a": 1} \\\n  --chat-template "a b" --enforce-eager'

    assert split_parameters([pasted]) == [
        *("--max-model-len", "8192"),
        '--hf-overrides={"a": 1}',
        *("--chat-template", "a b"),
        "--enforce-eager",
    ]


def test_a_program_pasted_along_is_refused() -> None:
    with pytest.raises(BadParameters, match="begin with a flag"):
        split_parameters(["vllm serve /model --max-model-len 8192"])


def test_a_value_with_blanks_is_one_argument() -> None:
    assert split_parameters(["--chat-template", "{{ a b }}"]) == ["--chat-template", "{{ a b }}"]
    assert split_parameters(["--alias 'my model'"]) == ["--alias", "my model"]


def test_an_open_quote_is_named() -> None:
    with pytest.raises(BadParameters, match="--alias 'my"):
        split_parameters(["--alias 'my"])


@given(st.lists(st.tuples(names, values)))
def test_every_spelling_means_the_same(flags: list[tuple[str, str]]) -> None:
    arguments = [word for flag in flags for word in flag]

    assert split_parameters(arguments) == arguments
    assert split_parameters([shlex.join(flag) for flag in flags]) == arguments
    assert split_parameters([shlex.join(arguments)] if arguments else []) == arguments
    joined = [f"{name}={value}" for name, value in flags]
    assert split_parameters([f"{name}={shlex.quote(value)}" for name, value in flags]) == joined


@given(names, json_texts)
def test_json_needs_no_quotes_in_any_spelling(name: str, text: str) -> None:
    assert split_parameters([f"{name}={text}"]) == [f"{name}={text}"]
    assert split_parameters([f"{name} {text}"]) == [name, text]
    assert split_parameters([f"{name}={text} --seed 1"]) == [f"{name}={text}", "--seed", "1"]


def test_a_backslash_at_the_end_of_a_line_is_kept_where_it_is_quoted() -> None:
    assert split_parameters(as_parameters(["-a", "-\\\n"])) == ["-a", "-\\\n"]
    assert split_parameters(["--a \"it's\" \\\n --b 'c'"]) == ["--a", "it's", "--b", "c"]


@given(names, st.lists(names | values | st.builds("{}={}".format, names, values) | st.text()))
def test_what_was_read_is_written_so_that_it_reads_the_same(first: str, others: list[str]) -> None:
    arguments = [first, *others]
    assert split_parameters(as_parameters(arguments)) == arguments


@given(st.lists(names | values))
def test_flags_are_the_arguments_and_nothing_else(arguments: list[str]) -> None:
    assert [word for flag in flags_of(arguments) for word in flag] == arguments


@given(st.lists(st.text()))
def test_any_text_is_read_or_refused(parameters: list[Any]) -> None:
    try:
        assert all(isinstance(word, str) for word in split_parameters(parameters))
    except BadParameters as error:
        assert str(error).startswith("backend_parameters: ")


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


def test_a_switch_and_its_opposite_have_one_name() -> None:
    assert name_of(("--no-enable_prefix-caching",)) == name_of(("--enable-prefix-caching=true",))
