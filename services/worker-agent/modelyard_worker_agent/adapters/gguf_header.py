"""Reads the header of a GGUF file: what the model is, without its weights, in bounded memory.

The layout is ggml's `docs/gguf.md`: magic, version, counts, then typed key-value pairs. Long arrays (the
vocabulary) are skipped over, never kept.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = b"GGUF"
MOST_PAIRS = 10_000
MOST_HEADER_BYTES = 1 << 25
MOST_STRINGS = 1 << 20
LONGEST_KEPT = 1024
"""Longer strings (chat templates) tell nothing that is needed here."""
MOST_NUMBER = 1 << 40
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
FORMATS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
STRING, ARRAY = 8, 9


class BadGguf(Exception):
    """The file is no GGUF, or damaged; the message says where."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    architecture: str | None
    context_length: int | None
    kv_bytes_per_token: int | None
    """With 16-bit keys and values; None where the header does not tell."""
    split_count: int


def read_header(path: Path) -> GgufHeader:
    """Raises `BadGguf`."""
    try:
        with path.open("rb") as file:
            return _header(_pairs(file))
    except OSError as error:
        raise BadGguf(f"{path} cannot be read: {error.strerror}") from error


def _pairs(file: BinaryIO) -> dict[str, object]:
    if file.read(4) != MAGIC:
        raise BadGguf("not a GGUF file: it does not start with 'GGUF'")
    version, _, pairs = _unpack(file, "<IQQ")
    if version not in (2, 3):
        raise BadGguf(f"GGUF version {version} is not known")
    if pairs > MOST_PAIRS:
        raise BadGguf(f"the header claims {pairs} entries")
    found: dict[str, object] = {}
    for _ in range(pairs):
        key = _string(file)
        (kind,) = _unpack(file, "<I")
        value = _value(file, kind)
        if key is not None and value is not None:
            found[key] = value
    return found


def _value(file: BinaryIO, kind: int) -> object:
    if kind in FORMATS:
        return _unpack(file, FORMATS[kind])[0]
    if kind == STRING:
        return _string(file)
    if kind == ARRAY:
        _skip_array(file)
        return None
    raise BadGguf(f"type {kind} of an entry is not known")


def _skip_array(file: BinaryIO) -> None:
    kind, count = _unpack(file, "<IQ")
    if kind in SIZES:
        _skip(file, SIZES[kind] * count)
        return
    if kind != STRING:
        raise BadGguf(f"an array of type {kind} is not known")
    if count > MOST_STRINGS:
        raise BadGguf(f"an array claims {count} strings")
    for _ in range(count):
        (length,) = _unpack(file, "<Q")
        _skip(file, length)


def _string(file: BinaryIO) -> str | None:
    """None if it is too long to be kept."""
    (length,) = _unpack(file, "<Q")
    if length > LONGEST_KEPT:
        _skip(file, length)
        return None
    data = file.read(length)
    if len(data) != length:
        raise BadGguf("the file ends within its header")
    return data.decode("utf-8", errors="replace")


def _skip(file: BinaryIO, length: int) -> None:
    if file.tell() + length > MOST_HEADER_BYTES:
        raise BadGguf(f"the header claims to be larger than {MOST_HEADER_BYTES} bytes")
    file.seek(length, 1)


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    data = file.read(struct.calcsize(layout))
    if len(data) != struct.calcsize(layout):
        raise BadGguf("the file ends within its header")
    return struct.unpack(layout, data)


def _header(pairs: dict[str, object]) -> GgufHeader:
    architecture = pairs.get("general.architecture")
    name = architecture if isinstance(architecture, str) else None
    return GgufHeader(
        architecture=name,
        context_length=_number(pairs, f"{name}.context_length"),
        kv_bytes_per_token=_kv_bytes(pairs, name),
        split_count=_number(pairs, "split.count") or 1,
    )


def _kv_bytes(pairs: dict[str, object], name: str | None) -> int | None:
    """layers x KV heads x (key length + value length) x 2 bytes, as llama.cpp's unified cache holds it."""
    layers = _number(pairs, f"{name}.block_count")
    heads = _number(pairs, f"{name}.attention.head_count")
    width = _number(pairs, f"{name}.embedding_length")
    if not (layers and heads and width):
        return None
    kv_heads = _number(pairs, f"{name}.attention.head_count_kv") or heads
    key = _number(pairs, f"{name}.attention.key_length") or width // heads
    value = _number(pairs, f"{name}.attention.value_length") or width // heads
    return layers * kv_heads * (key + value) * 2


def _number(pairs: dict[str, object], key: str) -> int | None:
    """None for what no model has: zero, negative, or beyond all measure."""
    value = pairs.get(key)
    return value if isinstance(value, int) and 0 < value < MOST_NUMBER else None
