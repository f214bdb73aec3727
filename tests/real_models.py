"""Real models and real starts of servers, as facts: `data/hugging_face`, `data/vllm`."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from modelyard_contracts.deployments import Backend
from modelyard_contracts.models import ModelFacts, ModelFormat
from modelyard_models.estimate import estimate
from modelyard_models.layout import Device, Layout, WorkerLayout
from modelyard_models.need import DeviceNeed, MemoryNeed

DATA = Path(__file__).parent / "data"
GIB = 1024**3
Json = dict[str, Any]


@cache
def models() -> dict[str, Json]:
    rows = json.loads((DATA / "hugging_face/models.json").read_text())["models"]
    return {row["model"]: row for row in rows}


@cache
def _configs() -> Json:
    written: Json = json.loads((DATA / "vllm/configs.json").read_text())
    return written


def config_of(model: str) -> Json | None:
    """Of a model in either file, by its name or one that stands for it."""
    name = _configs()["same"].get(model, model)
    config: Json | None = _configs()["configs"].get(name) or models().get(name, {}).get("config")
    return config


def facts_of(model: str, config: Json, weight_bytes: int = 0) -> ModelFacts:
    return ModelFacts(
        location=model, format=ModelFormat.SAFETENSORS, weight_bytes=weight_bytes, config=config
    )


@dataclass(frozen=True, slots=True)
class Start:
    """One row of `data/vllm/starts.json`: GiB per GPU."""

    row: Json

    @property
    def name(self) -> str:
        gpus = f"{self.row['world_size']}x{self.row['gpu']}"
        return f"{self.row['engine']} {self.row['model']} {gpus} {self.row.get('note', '')}".strip()

    @property
    def version(self) -> str | None:
        """As the row's note has it; None if it does not say."""
        found = re.search(r"\bv(0\.\d+(?:\.\d+)?)\b", self.row.get("note", ""))
        return found[1] if found else "0.16" if "<= 0.16" in self.row.get("note", "") else None

    @property
    def rank(self) -> int:
        note = self.row.get("note", "")
        return 0 if "rank 0" in note or "rank0" in note else self.row["world_size"] - 1

    def get(self, key: str) -> float | None:
        value: float | None = self.row.get(key)
        return value

    def need(self) -> MemoryNeed | None:
        """As estimated from the configuration alone; None if that is not known."""
        config = config_of(self.row["model"])
        if config is None:
            return None
        backend = Backend.VLLM if self.row["engine"] == "vllm" else Backend.SGLANG
        facts = facts_of(self.row["model"], config)
        return estimate(facts, backend, self.version, self._parameters(), self._layout())

    def device(self) -> DeviceNeed | None:
        need = self.need()
        return need.devices[self.rank] if need else None

    def _layout(self) -> Layout:
        gpu = self.row["gpu"].split("-")[0]
        size = int((self.row.get("total_gib") or _size(self.row["gpu"])) * GIB)
        kind = "cann" if gpu.startswith("Ascend") else "rocm" if gpu.startswith("MI") else "cuda"
        device = Device(kind, size, name=gpu if gpu[0].isalpha() else "")
        return Layout((WorkerLayout((device,) * self.row["world_size"]),))

    def _parameters(self) -> list[str]:
        row = self.row
        tensor, stages = row.get("tp") or row["world_size"], row.get("pp") or 1
        if "TP8 PP2" in row.get("note", ""):
            tensor, stages = 8, 2
        if row["engine"] == "sglang":
            given = [f"--tp={tensor}"]
            given += [f"--mem-fraction-static={row['util']}"] if row.get("util") else []
            return given
        given = [f"-tp={tensor}", f"-pp={stages}"]
        given += [f"--max-model-len={row['max_model_len']}"] if row.get("max_model_len") else []
        given += [f"--gpu-memory-utilization={row['util']}"] if row.get("util") else []
        return [*given, "--enable-expert-parallel"] if "EP" in row.get("note", "").split(", ") else given


def starts() -> list[Start]:
    return [Start(row) for row in json.loads((DATA / "vllm/starts.json").read_text())["rows"]]


def _size(gpu: str) -> float:
    """What a card is called, `H100-80G`, in GiB; 80 where it is not said."""
    found = re.search(r"(\d+)G\b", gpu)
    return float(found[1]) if found else 80.0
