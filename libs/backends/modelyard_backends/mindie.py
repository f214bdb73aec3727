"""MindIE takes no flags: parameters become its `config.json`, found by MIES_CONFIG_JSON_PATH.

Keys as in MindIE Service's configuration reference (2.x).
"""

import json
from collections.abc import Sequence
from typing import Any

from modelyard_contracts.deployments import DeploymentSpec
from modelyard_contracts.parameters import flags_of, name_of

from modelyard_backends.start import CannotStart, Group, Injection, Start

CONFIG = "mindie.json"
RANK_TABLE = "ranktable.json"
ROOM_FOR_OUTPUT = 512
MAX_BATCH = 200
Keys = tuple[str, str, type]
"""Section, key, kind."""
PARAMETERS: dict[str, Keys] = {
    "--max-seq-len": ("deploy", "maxSeqLen", int),
    "--max-input-token-len": ("deploy", "maxInputTokenLen", int),
    "--truncation": ("deploy", "truncation", bool),
    "--cpu-mem-size": ("model", "cpuMemSize", int),
    "--npu-mem-size": ("model", "npuMemSize", int),
    "--trust-remote-code": ("model", "trustRemoteCode", bool),
    "--tensor-parallel-size": ("model", "tp", int),
    "--data-parallel-size": ("model", "dp", int),
    "--context-parallel-size": ("model", "cp", int),
    "--moe-tensor-parallel-size": ("model", "moe_tp", int),
    "--moe-expert-parallel-size": ("model", "moe_ep", int),
    "--async-scheduler-wait-time": ("model", "async_scheduler_wait_time", int),
    "--cache-block-size": ("schedule", "cacheBlockSize", int),
    "--max-prefill-batch-size": ("schedule", "maxPrefillBatchSize", int),
    "--max-prefill-tokens": ("schedule", "maxPrefillTokens", int),
    "--max-batch-size": ("schedule", "maxBatchSize", int),
    "--max-iter-times": ("schedule", "maxIterTimes", int),
    "--max-preempt-count": ("schedule", "maxPreemptCount", int),
    "--support-select-batch": ("schedule", "supportSelectBatch", bool),
}
MEMORY_FRACTION = "--npu-memory-fraction"
Sections = dict[str, dict[str, Any]]


def injection(spec: DeploymentSpec, start: Start, given: Sequence[str]) -> Injection:
    """Raises `CannotStart`, naming a parameter that MindIE does not have."""
    said, fraction = _read(given)
    fraction = fraction or (f"{start.claim.fraction:g}" if start.claim.fraction is not None else None)
    files = {CONFIG: json.dumps(_config(start, said), indent=2)}
    env = {"MIES_CONFIG_JSON_PATH": f"{start.directory}/{CONFIG}"}
    if fraction is not None:
        env["NPU_MEMORY_FRACTION"] = fraction
    if start.group is not None:
        files[RANK_TABLE] = json.dumps(rank_table(start.group), indent=2)
        env |= {
            "RANK_TABLE_FILE": f"{start.directory}/{RANK_TABLE}",
            "MIES_CONTAINER_IP": start.group.own.address,
            "HCCL_IF_IP": start.group.own.address,
            "HCCL_DETERMINISTIC": "true",
        }
    return Injection(env=env, files=files)


def _read(given: Sequence[str]) -> tuple[Sections, str | None]:
    said: Sections = {"deploy": {}, "model": {}, "schedule": {}}
    fraction = None
    for flag in flags_of(given):
        _, equals, joined = flag[0].partition("=")
        values = [joined, *flag[1:]] if equals else list(flag[1:])
        name = name_of(flag)
        if name == MEMORY_FRACTION and len(values) == 1:
            fraction = values[0]
        elif name in PARAMETERS:
            section, key, kind = PARAMETERS[name]
            said[section][key] = _typed(name, values, kind)
        else:
            known = ", ".join([*PARAMETERS, MEMORY_FRACTION])
            raise CannotStart(f"backend_parameters: {flag[0]}: MindIE has {known}")
    return said, fraction


def _typed(name: str, values: list[str], kind: type) -> int | bool:
    if kind is bool:
        return not values or values[0].lower() not in ("0", "false", "no", "off")
    if len(values) != 1 or not values[0].lstrip("-").isdecimal():
        raise CannotStart(f"backend_parameters: {name}: needs one whole number")
    return int(values[0])


def _config(start: Start, said: Sections) -> dict[str, Any]:
    length = said["deploy"].get("maxSeqLen") or start.claim.context_tokens or 8192
    world = start.group.gpu_count if start.group else max(start.gpu_count, 1)
    devices = list(range(max(start.gpu_count, 1)))  # of those that it is shown, counted from zero
    batch = said["schedule"].get("maxBatchSize", MAX_BATCH)
    model = {
        "modelInstanceType": "Standard",
        "modelName": start.model_name,
        "modelWeightPath": start.model_path,
        "worldSize": world,
        "cpuMemSize": 5,
        "npuMemSize": -1,
        "backendType": "atb",
        "trustRemoteCode": False,
        **said["model"],
    }
    deploy = {
        "maxSeqLen": length,
        "maxInputTokenLen": max(length - ROOM_FOR_OUTPUT, 1),
        "truncation": False,
        **said["deploy"],
    }
    schedule = {
        "templateType": "Standard",
        "templateName": "Standard_LLM",
        "cacheBlockSize": 128,
        "maxPrefillBatchSize": min(50, batch),
        "maxPrefillTokens": length,
        "prefillTimeMsPerReq": 150,
        "prefillPolicyType": 0,
        "decodeTimeMsPerReq": 50,
        "decodePolicyType": 0,
        "maxBatchSize": MAX_BATCH,
        "maxIterTimes": length,
        "maxPreemptCount": 0,
        "supportSelectBatch": False,
        "maxQueueDelayMicroseconds": 5000,
        **said["schedule"],
    }
    return {
        "Version": "1.0.0",
        "ServerConfig": {
            "ipAddress": start.host,
            "allowAllZeroIpListening": start.host in ("0.0.0.0", "::"),
            "managementIpAddress": "127.0.0.1",
            "port": start.port,
            "managementPort": start.port,
            "metricsPort": start.port,
            "maxLinkNum": 1000,
            "httpsEnabled": False,
            "inferMode": "standard",
            "interCommTLSEnabled": False,
        },
        "BackendConfig": {
            "backendName": "mindieservice_llm_engine",
            "modelInstanceNumber": 1,
            "npuDeviceIds": [devices],
            "tokenizerProcessNumber": 8,
            "multiNodesInferEnabled": start.group is not None,
            "multiNodesInferPort": start.group.ports[0] if start.group else 1120,
            "interNodeTLSEnabled": False,
            "ModelDeployConfig": {**deploy, "ModelConfig": [model]},
            "ScheduleConfig": schedule,
        },
    }


def rank_table(group: Group) -> dict[str, Any]:
    """HCCL's table of ranks, version 1.0: the devices of every member, counted through."""
    servers, rank = [], 0
    for member in group.members:
        devices = []
        for number in range(member.gpu_count):
            address = member.device_addresses[number] if number < len(member.device_addresses) else ""
            devices.append({"device_id": str(number), "device_ip": address, "rank_id": str(rank)})
            rank += 1
        servers.append({"server_id": member.address, "container_ip": member.address, "device": devices})
    return {
        "version": "1.0",
        "server_count": str(len(servers)),
        "server_list": servers,
        "status": "completed",
    }
