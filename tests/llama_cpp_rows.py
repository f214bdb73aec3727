"""What llama.cpp said that it needs, beside what is known of the model: `data/llama_cpp/measured.json`."""

import json
from dataclasses import dataclass
from functools import cache

from gguf_shapes import DATA, header, model_sizes
from modelyard_contracts.models import GgufFacts
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
    parameters: int
    arguments: tuple[str, ...]
    layout: Layout
    devices: tuple[Bytes, ...]
    host: Bytes
    repacked: int


@cache
def facts_of(model: str, file_type: str) -> GgufFacts:
    return header_of(header(model_sizes()[model], file_type))


def breakdowns() -> list[Breakdown]:
    rows = json.loads((DATA / "measured.json").read_text())["breakdowns"]
    return [
        Breakdown(
            name=" ".join(
                (row["model"], row["file_type"], *row["arguments"], f"on {len(row['devices'])} devices")
            ),
            facts=facts_of(row["model"], row["file_type"]),
            parameters=row["parameters"],
            arguments=tuple(row["arguments"]),
            layout=layout_of(len(row["devices"])),
            devices=tuple(Bytes(*part) for part in row["devices"]),
            host=Bytes(*row["host"]),
            repacked=row["repacked"],
        )
        for row in rows
    ]


def layout_of(devices: int) -> Layout:
    return Layout((WorkerLayout(tuple(Device("cuda", DEVICE_BYTES) for _ in range(devices))),))
