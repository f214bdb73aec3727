"""What llama.cpp said that it needs, beside what is known of the model: the files in `data/llama_cpp`."""

import json
from dataclasses import dataclass
from functools import cache

from gguf_shapes import DATA, header, model_sizes
from modelyard_contracts.models import GgufFacts, ModelFacts, ModelFormat
from modelyard_models.gguf_header import header_of
from modelyard_models.layout import Device, Layout, WorkerLayout

DEVICE_BYTES = 80 << 30


@dataclass(frozen=True, slots=True)
class Bytes:
    weights: int
    context: int
    compute: int

    @property
    def total(self) -> int:
        return self.weights + self.context + self.compute


@dataclass(frozen=True, slots=True)
class Breakdown:
    name: str
    facts: GgufFacts
    arguments: tuple[str, ...]
    layout: Layout
    devices: tuple[Bytes, ...]
    host: Bytes
    parameters: int | None
    repacked: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """A real server, once it answered."""

    name: str
    facts: GgufFacts
    arguments: tuple[str, ...]
    layout: Layout
    devices_mib: tuple[float, ...]
    """Weights, cache and buffers of each, as the server logged them."""
    host_mib: float
    """Cache and buffers."""
    anonymous_bytes: int
    is_mapped: bool
    """Whether weights are pages of the file."""


@cache
def facts_of(model: str, file_type: str) -> GgufFacts:
    return header_of(header(model_sizes()[model], file_type))


def breakdowns(file: str = "measured.json") -> list[Breakdown]:
    rows = json.loads((DATA / file).read_text())["breakdowns"]
    return [
        Breakdown(
            name=" ".join(
                (row["model"], row["file_type"], *row["arguments"], f"on {len(row['devices'])} devices")
            ),
            facts=facts_of(row["model"], row["file_type"]),
            parameters=row.get("parameters"),
            arguments=tuple(row["arguments"]),
            layout=layout_of(len(row["devices"])),
            devices=tuple(Bytes(*part) for part in row["devices"]),
            host=Bytes(*row["host"]),
            repacked=row.get("repacked"),
        )
        for row in rows
    ]


def runs() -> list[Run]:
    rows = json.loads((DATA / "measured.json").read_text())["runs"]
    return [
        Run(
            name=" ".join((row["model"], row["file_type"], *row["arguments"])),
            facts=facts_of(row["model"], row["file_type"]),
            arguments=_with_slots(row["arguments"]),
            layout=layout_of(len(row["device_mib"])),
            devices_mib=tuple(
                sum(row["buffers_mib"][f"CUDA{rank}"].values()) for rank in range(len(row["device_mib"]))
            ),
            host_mib=sum(
                row["buffers_mib"].get(name, {}).get(kind, 0.0)
                for name in ("CPU", "CUDA_Host")
                for kind in ("context", "compute", "output")
            ),
            anonymous_bytes=row["anonymous_bytes"],
            is_mapped="none" not in row["arguments"],
        )
        for row in rows
    ]


def _with_slots(arguments: list[str]) -> tuple[str, ...]:
    """These servers were started by hand: llama-server chose its slots where nothing is said."""
    return tuple(arguments) if "-np" in arguments else (*arguments, "-np", "-1")


def model_of(facts: GgufFacts) -> ModelFacts:
    return ModelFacts(location="model.gguf", format=ModelFormat.GGUF, weight_bytes=0, gguf=facts)


def layout_of(devices: int) -> Layout:
    return Layout((WorkerLayout(tuple(Device("cuda", DEVICE_BYTES) for _ in range(devices))),))
