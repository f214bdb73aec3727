"""Whatever a repository holds, looking at it ends in facts or in one of our errors."""

import json
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelyard_contracts.deployments import Source
from modelyard_models.sources.errors import BadAnswer, SourceError
from modelyard_models.sources.inspecting import inspect
from modelyard_models.sources.port import Found, Repository, Search
from modelyard_models_hub import CONFIG, at


class Held:
    """A repository in memory."""

    name, place, token = "huggingface", "memory", None

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def search(self, wanted: Search) -> Found:
        return Found(models=(), has_more=False)

    def repository(self, repo: str, revision: str | None) -> Repository:
        sizes = {name: len(body) for name, body in self.files.items()}
        return Repository(id=repo, revision="c", pinned="c", sizes=sizes)

    def read(self, repository: Repository, path: str, start: int, length: int) -> bytes:
        return self.files[path][start : start + length]


def looked_at(files: dict[str, bytes]) -> None:
    try:
        found = inspect(Held(files), at(Source.HUGGINGFACE, "org/a"))
    except SourceError as error:
        assert "org/a" in str(error)
    else:
        assert found.facts.weight_bytes >= 0


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
CONFIGS = st.dictionaries(
    st.sampled_from([*CONFIG, "rope_scaling", "quantization_config", "text_config"]), VALUES
)


@given(st.binary(max_size=300))
def test_any_bytes_for_a_config(body: bytes) -> None:
    looked_at({"config.json": body, "model.safetensors": b"\x02" + bytes(7) + b"{}"})


@given(CONFIGS)
@settings(max_examples=300, deadline=None)
def test_any_values_in_a_config(config: dict[str, Any]) -> None:
    body = json.dumps({**CONFIG, **config}).encode()
    looked_at({"config.json": body, "model.safetensors": b"\x02" + bytes(7) + b"{}"})


@given(st.binary(max_size=300))
def test_any_bytes_for_weights(body: bytes) -> None:
    looked_at({"config.json": b"{}", "model.safetensors": body})
    looked_at({"model.gguf": body})
    looked_at({"model.gguf": b"GGUF\x03\x00\x00\x00" + body})


@given(VALUES)
@settings(deadline=None)
def test_any_values_in_the_header_of_safetensors(header: Any) -> None:
    body = json.dumps(header).encode()
    looked_at({"config.json": b"{}", "model.safetensors": struct.pack("<Q", len(body)) + body})


@given(VALUES)
@settings(deadline=None)
def test_any_values_in_every_other_small_file(value: Any) -> None:
    body = json.dumps(value).encode()
    names = ["tokenizer_config.json", "generation_config.json", "modules.json", "model_index.json"]
    index = {"model.safetensors.index.json": body, "model-1.safetensors": b""}
    looked_at({"config.json": b"{}", "README.md": body, **dict.fromkeys(names, body), **index})


@pytest.mark.parametrize("nesting", [b"[", b'{"a":'])
def test_a_config_that_is_nested_ten_thousand_deep_is_an_error(nesting: bytes) -> None:
    with pytest.raises(BadAnswer, match=r"config\.json"):
        inspect(
            Held({"config.json": nesting * 10_000, "model.safetensors": b"\x02" + bytes(7) + b"{}"}),
            at(Source.HUGGINGFACE, "org/a"),
        )


def test_a_header_that_claims_a_gigabyte_takes_no_memory() -> None:
    files = {"config.json": b"{}", "model.safetensors": struct.pack("<Q", 1 << 30)}
    tracemalloc.start()
    with pytest.raises(BadAnswer, match="claims 1073741824 bytes"):
        inspect(Held(files), at(Source.HUGGINGFACE, "org/a"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20
