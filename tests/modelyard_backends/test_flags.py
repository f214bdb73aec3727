"""What we say to backends that do not run here, beside what their own parsers and documentation know.

`data/backend_flags`: the flags of SGLang and VoxBox as their parsers have them (of the versions named there),
and the keys of MindIE's configuration as its reference documents them.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from modelyard_backends.builtin import BUILT_IN
from modelyard_backends.command import command_line
from modelyard_backends.start import Adapter, Group, Member, Start
from modelyard_contracts.deployments import (
    Claim,
    DeploymentSpec,
    ExtendedKVCache,
    LoraAdapter,
    Source,
    SpeculativeConfig,
)
from modelyard_contracts.parameters import flags_of, name_of

DATA = Path(__file__).parent.parent / "data" / "backend_flags"
GIB = 2**30
ADAPTERS = (Adapter("chat:law", "/l/law"), Adapter("chat:tax", "/l/tax"))
LORA = {"lora_list": (LoraAdapter(lora_name="law"), LoraAdapter(lora_name="tax"))}


def known(backend: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / f"{backend.lower()}.json").read_text())
    return found


def spec(*parameters: str, **fields: Any) -> DeploymentSpec:
    return DeploymentSpec(source=Source.LOCAL_PATH, local_path="/m", backend_parameters=parameters, **fields)


def start(framework: str, gpus: int = 1, **fields: Any) -> Start:
    vram = {f"{framework}:{index}": 64 * GIB for index in range(2, 2 + gpus)}
    return Start(
        model_path="/m",
        model_name="chat",
        host="127.0.0.1",
        port=41234,
        worker_ip="10.0.0.1",
        version=None,
        framework=framework if gpus else "cpu",
        claim=Claim(vram_bytes=vram if gpus else {}, fraction=0.85, context_tokens=4096),
        directory="/run/17/0",
        vram_bytes=sum(vram.values()),
        **fields,
    )


def group(rank: int) -> Group:
    members = Member("10.0.0.1", 2, ("1.1.1.1", "1.1.1.2")), Member("10.0.0.2", 2, ("1.1.1.3", "1.1.1.4"))
    return Group(members, rank, (40001,), "eth0")


def speculative(algorithm: str, **fields: Any) -> SpeculativeConfig:
    return SpeculativeConfig.model_validate({"enabled": True, "algorithm": algorithm, **fields})


SGLANG: dict[str, tuple[DeploymentSpec, Start]] = {
    "one device": (spec(), start("cuda")),
    "four devices": (spec(), start("cuda", 4)),
    "no device": (spec(), start("cuda", 0)),
    "adapters": (spec(**LORA), start("cuda", adapters=ADAPTERS)),
    "ngram": (
        spec(speculative_config=speculative("ngram", ngram_max_match_length=5, num_draft_tokens=3)),
        start("cuda"),
    ),
    "eagle3": (
        spec(speculative_config=speculative("eagle3", draft_model="d")),
        start("cuda", draft_path="/d"),
    ),
    "mtp": (spec(speculative_config=speculative("mtp")), start("cuda")),
    "extended cache": (
        spec(extended_kv_cache=ExtendedKVCache(enabled=True, ram_ratio=1.2)),
        start("cuda"),
    ),
    "the first of two workers": (spec(), start("cuda", 2, group=group(0))),
    "the second of two workers": (spec(), start("cuda", 2, group=group(1))),
}


def unknown_to(flags: dict[str, Any], arguments: list[str]) -> list[str]:
    """Flags that the parser lacks, and those with more or fewer values than it reads."""
    wrong = []
    for flag in flags_of(arguments):
        name, values = name_of(flag), len(flag) - 1 + ("=" in flag[0])
        fits = (
            (name in flags["none"] and values == 0)
            or (name in flags["one"] and values == 1)
            or (name in flags["several"])
        )
        if not fits:
            wrong.append(f"{name} with {values}")
    return wrong


@pytest.mark.parametrize("case", SGLANG, ids=str)
def test_sglangs_parser_has_every_flag_that_we_say(case: str) -> None:
    wanted, at = SGLANG[case]
    made = command_line(BUILT_IN["SGLang"], wanted, at, env={}, in_container=False)
    assert made.arguments[:3] == ("python3", "-m", "sglang.launch_server")
    assert unknown_to(known("SGLang"), list(made.arguments[3:])) == []


def test_sglangs_parser_has_what_people_are_offered() -> None:
    flags = known("SGLang")
    assert BUILT_IN["SGLang"].default_version == flags["version"]
    names = {*flags["none"], *flags["one"], *flags["several"]}
    assert set(BUILT_IN["SGLang"].common_parameters) - names == set()


@pytest.mark.parametrize("gpus", [0, 1])
def test_voxboxs_parser_has_every_flag_that_we_say(gpus: int) -> None:
    flags = known("VoxBox")
    assert BUILT_IN["VoxBox"].default_version == flags["version"]
    made = command_line(BUILT_IN["VoxBox"], spec(), start("cuda", gpus), env={}, in_container=False)
    assert made.arguments[:2] == ("vox-box", "start")
    assert unknown_to(flags, list(made.arguments[2:])) == []


@pytest.mark.parametrize("rank", [None, 0, 1])
def test_mindies_configuration_has_what_is_required_and_nothing_unknown(rank: int | None) -> None:
    parameters = (
        "--max-seq-len 8192",
        "--tensor-parallel-size=2",
        "--trust-remote-code",
        "--max-batch-size=10",
    )
    at = start("cann", 2, group=None if rank is None else group(rank))
    made = command_line(BUILT_IN["MindIE"], spec(*parameters), at, env={}, in_container=False)
    config = json.loads(made.files["mindie.json"])
    backend = config["BackendConfig"]
    sections = {
        "": config,
        "ServerConfig": config["ServerConfig"],
        "BackendConfig": backend,
        "ModelDeployConfig": backend["ModelDeployConfig"],
        "ModelConfig": backend["ModelDeployConfig"]["ModelConfig"][0],
        "ScheduleConfig": backend["ScheduleConfig"],
    }
    for name, keys in known("MindIE").items():
        said = set(sections[name])
        assert set(keys["required"]) - said == set(), name
        assert said - {*keys["required"], *keys["optional"]} == set(), name


def test_mindie_counts_the_devices_that_it_is_shown_from_zero() -> None:
    made = command_line(BUILT_IN["MindIE"], spec(), start("cann", 2), env={}, in_container=False)
    assert json.loads(made.files["mindie.json"])["BackendConfig"]["npuDeviceIds"] == [[0, 1]]
