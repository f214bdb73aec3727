"""Reads the header of a GGUF file, versions 2 and 3: what the model is, without its weights or vocabulary.

The layout is ggml's `docs/gguf.md`: magic, version, counts, typed key-value pairs, then the table of tensors.
The parser asks for the bytes it needs next and holds no more of the file than one answer, so a file,
bytes in memory and range requests are read alike. Whatever a header claims, memory and time are bounded.
"""

import math
import struct
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from modelyard_contracts.models import GgufFacts

from modelyard_models.gguf_tensors import TYPES, Grouping, Tensor, merged

MOST_HEADER_BYTES = 1 << 26
MOST_PAIRS = 10_000
MOST_TENSORS = 1 << 16
MOST_LAYERS = 1 << 10
MOST_ITEMS = 1 << 23
MOST_MODEL_BYTES = 1 << 48
LONGEST_KEY = 256
LONGEST_STRING = 1024
"""Longer ones are passed over."""
LONGEST_TEMPLATE = 1 << 16
LONGEST_ARRAY = 512
"""Longer ones are passed over: llama.cpp knows no model of more layers."""
MOST_KEPT_BYTES = 1 << 18
CHUNK_BYTES = 1 << 20

NUMBERS = {
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
BIG_ENDIAN_VERSIONS = (2 << 24, 3 << 24)
_LENGTH = struct.Struct("<Q")

Read = TypeVar("Read")


class BadGguf(ValueError):
    """The file is no GGUF, damaged, or beyond all measure; the message says where."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parser's next need: bytes from `start` on, at least so many; more is welcome."""

    start: int
    least: int


Steps = Generator[Wanted, bytes, Read]


def header_steps() -> Steps[GgufFacts]:
    """Asks for bytes until the header is read; fewer than the least mean the end. Raises `BadGguf`."""
    window = _Window()
    if (yield from window.pull(lambda: window.raw(4))) != b"GGUF":
        raise BadGguf("not a GGUF file: it does not start with 'GGUF'")
    (version,) = yield from window.pull(lambda: window.numbers("<I"))
    if version in BIG_ENDIAN_VERSIONS:
        raise BadGguf("big-endian GGUF files are not supported")
    if version not in (2, 3):
        raise BadGguf(f"GGUF version {version} is not known")
    tensors, pairs = yield from window.pull(lambda: window.numbers("<QQ"))
    if tensors > MOST_TENSORS:
        raise BadGguf(f"the header claims {tensors} tensors")
    if pairs > MOST_PAIRS:
        raise BadGguf(f"the header claims {pairs} entries")
    kept, lengths = yield from _pairs(window, pairs)
    grouping = yield from _tensors(window, tensors)
    yield from window.reach()
    return GgufFacts(
        metadata=kept,
        vocabulary_size=_vocabulary_size(kept, lengths),
        parameters=grouping.parameters,
        groups=grouping.groups(),
    )


def read_header(fetch: Callable[[int, int], bytes]) -> GgufFacts:
    """`fetch(a, b)` gives bytes a to b, fewer at the end of the file. Raises `BadGguf`."""
    steps = header_steps()
    wanted = next(steps)
    while True:
        found = fetch(wanted.start, wanted.start + max(wanted.least, CHUNK_BYTES))
        try:
            wanted = steps.send(found)
        except StopIteration as end:
            facts: GgufFacts = end.value
            return facts


def header_of(data: bytes) -> GgufFacts:
    """Raises `BadGguf`."""
    return read_header(lambda start, stop: data[start:stop])


def header_of_file(path: Path) -> GgufFacts:
    """Raises `BadGguf`."""

    def fetch(start: int, stop: int) -> bytes:
        file.seek(start)
        return file.read(stop - start)

    try:
        with path.open("rb") as file:
            return read_header(fetch)
    except OSError as error:
        raise BadGguf(f"{path} cannot be read: {error.strerror}") from error


def merge_shards(shards: Sequence[GgufFacts]) -> GgufFacts:
    """The model of which these are the shards, in order. Raises `BadGguf` if one is missing."""
    claimed = shards[0].metadata.get("split.count", 1)
    if claimed != len(shards):
        raise BadGguf(f"the model has {claimed} shards, not {len(shards)}")
    for position, shard in enumerate(shards):
        if shard.metadata.get("split.no", position) != position:
            raise BadGguf(f"shard {shard.metadata['split.no']} is given as shard {position}")
    return GgufFacts(
        metadata=shards[0].metadata,
        vocabulary_size=shards[0].vocabulary_size,
        parameters=sum(shard.parameters for shard in shards),
        groups=merged(shard.groups for shard in shards),
    )


class _Short(Exception):
    """So many bytes are needed from where the window stands."""

    def __init__(self, least: int) -> None:
        self.least = least


class _Window:
    """The part of the file that is at hand, and where in the file the next byte to read is."""

    def __init__(self) -> None:
        self.data = b""
        self.base = 0
        self.at = 0

    def pull(self, read: Callable[[], Read]) -> Steps[Read]:
        """What `read` gives, once enough bytes are there."""
        while True:
            start = self.at
            try:
                return read()
            except _Short as short:
                yield from self.fill(start, short.least)

    def fill(self, start: int, least: int) -> Steps[None]:
        """Moves to `start` and has at least so many bytes from there."""
        if start + least > MOST_HEADER_BYTES:
            raise BadGguf(f"the header claims to be larger than {MOST_HEADER_BYTES} bytes")
        self.data = self.data[max(start - self.base, 0) :]
        self.base = self.at = start
        missing = least - len(self.data)
        if missing > 0:
            found = yield Wanted(start + len(self.data), missing)
            self.data += found
            if len(found) < missing:
                raise BadGguf("the file ends within its header")

    def reach(self) -> Steps[None]:
        """What was passed over must be there too."""
        if self.at > self.base + len(self.data):
            yield from self.fill(self.at - 1, 1)

    def raw(self, length: int) -> bytes:
        here = self.at - self.base
        found = self.data[here : here + length]
        if len(found) < length:
            raise _Short(length)
        self.at += length
        return found

    def numbers(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.raw(struct.calcsize(layout)))

    def text(self, longest: int) -> str | None:
        """None if it is longer, and then passed over."""
        start = self.at
        (length,) = self.numbers("<Q")
        if length > longest:
            self.at += length
            return None
        try:
            found = self.raw(length)
        except _Short as short:
            self.at = start
            raise _Short(8 + short.least) from None
        return found.decode("utf-8", errors="replace").replace("\0", "")

    def skip_strings(self, count: int) -> Steps[None]:
        """The vocabulary is most of a header: this loop decides how long reading takes."""
        unpack = _LENGTH.unpack_from
        data, here = self.data, self.at - self.base
        for _ in range(count):
            try:
                here += 8 + unpack(data, here)[0]
            except (struct.error, OverflowError):
                yield from self.fill(self.base + here, 8)
                data = self.data
                here = 8 + unpack(data)[0]
        self.at = self.base + here


def _pairs(window: _Window, count: int) -> Steps[tuple[dict[str, Any], dict[str, int]]]:
    """What is kept of the key-value pairs, and how long the arrays are."""
    kept: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    seen: set[str] = set()
    kept_bytes = 0
    for _ in range(count):
        key = yield from window.pull(lambda: _name(window, "a key"))
        if key in seen:
            raise BadGguf(f"the key {key!r} comes twice")
        seen.add(key)
        (kind,) = yield from window.pull(lambda: window.numbers("<I"))
        if kind == ARRAY:
            lengths[key], value = yield from _array(window, key)
        else:
            value = yield from window.pull(partial(_single, window, kind, key))
        if value is None:
            continue
        kept[key] = value
        kept_bytes += len(key) + (len(value) * 8 if isinstance(value, list | str) else 8)
        if kept_bytes > MOST_KEPT_BYTES:
            raise BadGguf(f"the header says more than {MOST_KEPT_BYTES} bytes beside its vocabulary")
    return kept, lengths


def _name(window: _Window, what: str) -> str:
    name = window.text(LONGEST_KEY)
    if name is None:
        raise BadGguf(f"{what} is longer than {LONGEST_KEY} bytes")
    return name


def _single(window: _Window, kind: int, key: str) -> Any:
    """None for what is not kept: long strings, and numbers that are none."""
    if kind == STRING:
        return window.text(LONGEST_TEMPLATE if key.startswith("tokenizer.chat_template") else LONGEST_STRING)
    if kind not in NUMBERS:
        raise BadGguf(f"type {kind} of the entry {key!r} is not known")
    (value,) = window.numbers(NUMBERS[kind])
    return value if math.isfinite(value) else None


def _array(window: _Window, key: str) -> Steps[tuple[int, list[Any] | None]]:
    """Its length, and its items if it is short and not part of the vocabulary."""
    kind, count = yield from window.pull(lambda: window.numbers("<IQ"))
    if kind != STRING and kind not in NUMBERS:
        raise BadGguf(f"the entry {key!r} is an array of type {kind}, which is not known")
    if count > MOST_ITEMS:
        raise BadGguf(f"the array {key!r} claims {count} items")
    if count > LONGEST_ARRAY or key.startswith("tokenizer.ggml."):
        if kind == STRING:
            yield from window.skip_strings(count)
        else:
            window.at += count * struct.calcsize(NUMBERS[kind])
        return count, None
    items = []
    for _ in range(count):
        items.append((yield from window.pull(partial(_single, window, kind, key))))
    return count, None if None in items else items


def _tensors(window: _Window, count: int) -> Steps[Grouping]:
    grouping = Grouping()
    seen: set[str] = set()
    total_bytes = 0
    for _ in range(count):
        tensor = yield from window.pull(lambda: _tensor(window))
        if tensor.name in seen:
            raise BadGguf(f"the tensor {tensor.name!r} comes twice")
        seen.add(tensor.name)
        total_bytes += tensor.bytes
        if total_bytes > MOST_MODEL_BYTES:
            raise BadGguf(f"the tensors claim to be larger than {MOST_MODEL_BYTES} bytes")
        grouping.add(tensor)
        if len(grouping) > MOST_LAYERS * 2:
            raise BadGguf(f"the tensors belong to more than {MOST_LAYERS} layers")
    return grouping


def _tensor(window: _Window) -> Tensor:
    start = window.at
    try:
        name = _name(window, "a tensor's name")
        (dimensions,) = window.numbers("<I")
        if not 0 < dimensions <= 4:
            raise BadGguf(f"the tensor {name!r} has {dimensions} dimensions")
        *shape, kind, _ = window.numbers(f"<{dimensions}QIQ")
    except _Short as short:
        least = window.at - start + short.least
        raise _Short(least) from None
    if kind not in TYPES:
        raise BadGguf(f"the tensor {name!r} has the type {kind}, which is not known")
    if shape[0] % TYPES[kind].block_elements or math.prod(shape) > MOST_MODEL_BYTES:
        raise BadGguf(f"the tensor {name!r} cannot have the shape {shape}")
    return Tensor(name, tuple(shape), TYPES[kind])


def _vocabulary_size(kept: dict[str, Any], lengths: dict[str, int]) -> int:
    said = kept.get(f"{kept.get('general.architecture')}.vocab_size")
    return lengths.get("tokenizer.ggml.tokens") or (said if isinstance(said, int) else 0)
