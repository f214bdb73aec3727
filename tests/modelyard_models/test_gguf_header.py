"""Headers of GGUF files: real ones are understood, hostile ones are refused quickly and cheaply."""

import struct
import tracemalloc
from pathlib import Path

import pytest
from gguf_shapes import header as written_header
from gguf_shapes import model_sizes
from hypothesis import given, settings
from hypothesis import strategies as st
from modelyard_contracts.models import GgufFacts
from modelyard_models.gguf_header import (
    MOST_HEADER_BYTES,
    BadGguf,
    header_of,
    header_of_file,
    header_steps,
    merge_shards,
    read_header,
)
from tiny_gguf import CONTEXT, FEED_FORWARD, LAYERS, TEMPLATE, WIDTH, write_tiny_gguf

STRING, ARRAY, FLOAT, UNSIGNED = 8, 9, 6, 4


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny_gguf(path)
    return path.read_bytes()


def header(pairs: int, *entries: bytes, tensors: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + b"".join(entries)


def text(value: str | int) -> bytes:
    """A string, or the claim of one that long."""
    if isinstance(value, int):
        return struct.pack("<Q", value)
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, key: str = "a") -> bytes:
    return entry(key, ARRAY, struct.pack("<IQ", kind, count))


def tensor(name: str, *shape: int, kind: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, 0)


def test_a_model_is_described_by_its_header(real: bytes) -> None:
    facts = header_of(real)
    assert facts.metadata["general.architecture"] == "llama"
    assert facts.metadata["llama.context_length"] == CONTEXT
    assert facts.metadata["tokenizer.chat_template"] == TEMPLATE
    assert "tokenizer.ggml.tokens" not in facts.metadata
    assert facts.vocabulary_size == 259 + 95
    layers = [group for group in facts.groups if group.layer is not None]
    assert [(group.layer, group.role) for group in layers] == [(layer, "dense") for layer in range(LAYERS)]
    assert {group.role for group in facts.groups if group.layer is None} == {
        "token_embd",
        "output",
        "output_other",
    }
    assert layers[0].weight_bytes == 4 * (2 * WIDTH + 4 * WIDTH**2 + 3 * WIDTH * FEED_FORWARD)
    assert layers[0].largest_tensor_bytes == 4 * WIDTH * FEED_FORWARD


def test_a_file_bytes_and_requests_for_ranges_are_read_alike(real: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(real)
    asked: list[tuple[int, int]] = []

    def fetch(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return real[start:stop]

    assert header_of_file(path) == header_of(real) == read_header(fetch)
    assert asked == [(0, 1 << 20)]


@given(step=st.integers(1, 5000))
@settings(max_examples=30, deadline=None)
def test_it_makes_no_difference_in_which_pieces_the_bytes_come(real: bytes, step: int) -> None:
    steps = header_steps()
    wanted = next(steps)
    while True:
        try:
            wanted = steps.send(real[wanted.start : wanted.start + max(wanted.least, step)])
        except StopIteration as end:
            assert end.value == header_of(real)
            return


def test_what_is_passed_over_is_not_asked_for() -> None:
    numbers = 2_000_000
    start = header(2, array(FLOAT, numbers, "tokenizer.ggml.scores"))
    rest = entry("general.architecture", STRING, text("llama"))
    asked: list[int] = []

    def fetch(start_byte: int, stop: int) -> bytes:
        asked.append(start_byte)
        return (start if start_byte == 0 else rest)[: stop - start_byte]

    assert read_header(fetch).metadata == {"general.architecture": "llama"}
    assert asked == [0, len(start) + 4 * numbers]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "ends within its header"),
        (b"PK\x03\x04", "not a GGUF file"),
        (b"GGUF", "ends within its header"),
        (header(0, version=1), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (header(2**60), "claims 1152921504606846976 entries"),
        (header(0, tensors=2**60), "claims 1152921504606846976 tensors"),
        (header(1, text(2**60)), "a key is longer than"),
        (header(1, entry("a", STRING, text(2**63))), "larger than"),
        (header(1, entry("a", STRING, text(2**20))), "ends within its header"),
        (header(1, array(0, 2**60)), "claims 1152921504606846976 items"),
        (header(1, array(8, 2**60)), "claims 1152921504606846976 items"),
        (header(1, array(8, 2**19)), "ends within its header"),
        (header(1, array(0, 2**22)), "ends within its header"),
        (header(1, array(8, 4), text(2**64 - 1)), "larger than"),
        (header(1, array(8, 2**19), text(2**64 - 1)), "larger than"),
        (header(1, array(9, 2**60)), "array of type 9"),
        (header(1, array(9, 1) + struct.pack("<IQ", 9, 1)), "array of type 9"),
        (header(1, entry("a", 99, b"")), "type 99"),
        (header(2, entry("a", 0, b"\0"), entry("a", 0, b"\0")), "'a' comes twice"),
        (header(0, tensor("t", 1), tensor("t", 1), tensors=2), "'t' comes twice"),
        (header(0, tensor("t", 2**40, 2**40), tensors=1), "cannot have the shape"),
        (header(0, tensor("t", 2**44), tensor("u", 2**47), tensors=2), "claim to be larger"),
        (header(0, tensor("t", 100, kind=12), tensors=1), "cannot have the shape"),
        (header(0, tensor("t", 1, kind=77), tensors=1), "type 77"),
        (header(0, tensor("t", 1, 1, 1, 1, 1), tensors=1), "5 dimensions"),
        (header(0, tensor("t"), tensors=1), "0 dimensions"),
        (header(0, tensor("t", 1), tensors=2), "ends within its header"),
    ],
)
def test_a_hostile_header_is_refused_with_its_reason(data: bytes, says: str) -> None:
    with pytest.raises(BadGguf, match=says):
        header_of(data)


def test_endless_empty_strings_come_to_an_end(tmp_path: Path) -> None:
    """A sparse file costs nothing to make and reads as zeros for ever: here as arrays of empty strings."""
    path = tmp_path / "model.gguf"
    path.write_bytes(header(9, array(8, 2**23)))
    with path.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(BadGguf, match="larger than"):
        header_of_file(path)


def test_a_header_of_30_megabytes_is_read_in_little_memory(tmp_path: Path) -> None:
    tokens = 20_000
    words = b"".join(text(f"{number:0700}") for number in range(tokens))
    pairs = [
        array(8, tokens, "tokenizer.ggml.tokens") + words,
        array(8, tokens, "tokenizer.ggml.merges") + words,
    ]
    path = tmp_path / "model.gguf"
    path.write_bytes(header(2, *pairs, tensor("blk.0.a.weight", 32), tensors=1))
    del words, pairs
    assert 24_000_000 < path.stat().st_size < MOST_HEADER_BYTES
    tracemalloc.start()
    facts = header_of_file(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert facts.vocabulary_size == tokens
    assert peak_bytes < 10_000_000


def test_long_strings_and_numbers_that_are_none_are_left_out() -> None:
    infinite = struct.pack("<f", float("inf"))
    pairs = [
        entry("long", STRING, text("x" * 5000)),
        entry("nan", FLOAT, struct.pack("<f", float("nan"))),
        entry("infinite", FLOAT, infinite),
        array(FLOAT, 1, "infinities") + infinite,
        entry("zero byte", STRING, text("a\0b")),
        array(UNSIGNED, 3, "heads") + struct.pack("<III", 8, 0, 8),
    ]
    assert header_of(header(len(pairs), *pairs)).metadata == {"zero byte": "ab", "heads": [8, 0, 8]}


def test_what_is_kept_is_bounded() -> None:
    pairs = [entry(f"key {number}", STRING, text("x" * 1000)) for number in range(1000)]
    with pytest.raises(BadGguf, match="says more than"):
        header_of(header(len(pairs), *pairs))


def test_layers_are_bounded() -> None:
    tensors = [tensor(f"blk.{number}.a.weight", 1) for number in range(3000)]
    with pytest.raises(BadGguf, match="more than 1024 layers"):
        header_of(header(0, *tensors, tensors=len(tensors)))


def test_shards_make_one_model() -> None:
    def shard(number: int, count: int, *names: str) -> GgufFacts:
        pairs = [
            entry("split.no", 2, struct.pack("<H", number)),
            entry("split.count", 2, struct.pack("<H", count)),
        ]
        return header_of(header(2, *pairs, *(tensor(name, 64) for name in names), tensors=len(names)))

    first, second = shard(0, 2, "blk.0.a.weight", "token_embd.weight"), shard(1, 2, "blk.0.b.weight")
    whole = merge_shards([first, second])
    assert whole.parameters == 192
    assert [(group.layer, group.role, group.weight_bytes) for group in whole.groups] == [
        (None, "token_embd", 256),
        (0, "dense", 512),
    ]
    with pytest.raises(BadGguf, match="2 shards, not 1"):
        merge_shards([first])
    with pytest.raises(BadGguf, match="shard 1 is given as shard 0"):
        merge_shards([second, first])


def test_experts_and_the_ends_of_a_model_have_roles_of_their_own() -> None:
    facts = header_of(written_header(model_sizes()["qwen3-30b-a3b"], "Q4_K_M"))
    assert [group.role for group in facts.groups[:5]] == [
        "output",
        "output_other",
        "token_embd",
        "dense",
        "experts",
    ]
    assert facts.parameters == 30_532_122_624


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_header_is_read_or_refused(real: bytes, data: st.DataObject) -> None:
    damaged = bytearray(real[: data.draw(st.integers(0, 30_000))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    _read_or_refuse(bytes(damaged))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.binary(max_size=300))
def test_whatever_follows_the_magic_is_read_or_refused(pairs: int, tensors: int, rest: bytes) -> None:
    _read_or_refuse(header(pairs, rest, tensors=tensors))


def _read_or_refuse(data: bytes) -> None:
    try:
        header_of(data)
    except BadGguf as error:
        assert str(error)
