"""Headers of GGUF files: real ones are understood, hostile ones are refused quickly and cheaply."""

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelyard_worker_agent.adapters.gguf_header import BadGguf, GgufHeader, read_header
from tiny_gguf import CONTEXT, LAYERS, WIDTH, write_tiny_gguf

Write = Callable[[bytes], Path]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny_gguf(path)
    return path.read_bytes()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(data: bytes) -> Path:
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return path

    return written


def header(pairs: int, *entries: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, pairs) + b"".join(entries)


def text(value: str | int) -> bytes:
    """A string, or the claim of one that long."""
    if isinstance(value, int):
        return struct.pack("<Q", value)
    return struct.pack("<Q", len(value)) + value.encode()


def array(kind: int, count: int) -> bytes:
    return text("a") + struct.pack("<IIQ", 9, kind, count)


def read(path: Path) -> GgufHeader | None:
    try:
        return read_header(path)
    except BadGguf as error:
        assert str(error)
        return None


def test_a_model_is_described(real: bytes, write: Write) -> None:
    assert read_header(write(real)) == GgufHeader(
        architecture="llama",
        context_length=CONTEXT,
        kv_bytes_per_token=LAYERS * 2 * WIDTH * 2,
        split_count=1,
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04", "not a GGUF file"),
        (b"GGUF", "ends within its header"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (header(2**60), "claims 1152921504606846976 entries"),
        (header(1, text(2**60)), "larger than"),
        (header(1, text("a"), struct.pack("<I", 8), text(2**63)), "larger than"),
        (header(1, array(0, 2**60)), "larger than"),
        (header(1, array(8, 2**60)), "claims 1152921504606846976 strings"),
        (header(1, array(8, 2**19)), "ends within its header"),
        (header(1, array(9, 2**60)), "array of type 9"),
        (header(1, text("a"), struct.pack("<I", 99)), "type 99"),
    ],
)
def test_a_hostile_header_is_refused_with_its_reason(write: Write, data: bytes, says: str) -> None:
    with pytest.raises(BadGguf, match=says):
        read_header(write(data))


def test_endless_empty_strings_come_to_an_end(write: Write) -> None:
    """A sparse file costs nothing to make and reads as zeros for ever: here as arrays of empty strings."""
    endless = array(8, 2**20) + bytes(8 * 2**20)
    path = write(header(9, *[endless] * 4))
    with path.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(BadGguf, match="larger than"):
        read_header(path)


def test_long_strings_are_not_kept(write: Write) -> None:
    long = "x" * 5_000_000
    entry = struct.pack("<I", 8) + text(long)
    path = write(header(2, text("tokenizer.chat_template"), entry, text(long), entry))
    tracemalloc.start()
    found = read_header(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.architecture is None
    assert peak_bytes < 1_000_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_a_damaged_header_is_read_or_refused(real: bytes, write: Write, data: st.DataObject) -> None:
    damaged = bytearray(real[: data.draw(st.integers(0, 3000))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            place = data.draw(st.integers(0, len(damaged) - 1))
            damaged[place] = data.draw(st.integers(0, 255))
    read(write(bytes(damaged)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.integers(0, 2**64 - 1), st.binary(max_size=300))
def test_whatever_follows_the_magic_is_read_or_refused(write: Write, pairs: int, rest: bytes) -> None:
    read(write(header(pairs % 5, rest)))


def test_numbers_that_no_model_has_are_not_believed(write: Write) -> None:
    def number(key: str, layout: str, kind: int, value: int) -> bytes:
        return text(key) + struct.pack("<I", kind) + struct.pack(layout, value)

    entries = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        number("llama.block_count", "<Q", 10, 2**63),
        number("llama.attention.head_count", "<i", 5, -1),
        number("llama.embedding_length", "<I", 4, 0),
        number("llama.context_length", "<q", 11, -5),
        number("split.count", "<H", 2, 3),
    ]
    assert read_header(write(header(len(entries), *entries))) == GgufHeader("llama", None, None, 3)
