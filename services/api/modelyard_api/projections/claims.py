"""What instances take of workers, in the field names of `/v2/model-instances`."""

from collections.abc import Sequence

from modelyard_contracts.deployments import Claim, Subordinate

from modelyard_api.projections.rows import View


def claim_view(claim: Claim) -> View:
    """VRAM by the device's index; its type is beside it (`gpu_type`)."""
    return {
        "is_unified_memory": claim.is_unified_memory,
        "offload_layers": claim.offload_layers,
        "total_layers": claim.total_layers,
        "ram": claim.ram_bytes,
        "vram": {_index(device): claim.vram_bytes[device] for device in claim.devices()},
        "vram_beside": {_index(device): size for device, size in claim.beside_bytes.items()},
        "tensor_split": list(claim.tensor_split),
        "vram_utilization": claim.fraction,
        "context_tokens": claim.context_tokens,
    }


def devices_view(claim: Claim) -> View:
    devices = claim.devices()
    return {
        "gpu_type": devices[0].rpartition(":")[0] if devices else None,
        "gpu_indexes": [int(_index(device)) for device in devices],
        "computed_resource_claim": claim_view(claim),
    }


NOT_YET: View = {"state": "pending", "worker_ip": None, "pid": None}


def distributed_view(subordinates: Sequence[Subordinate]) -> View | None:
    """None for an instance on one worker."""
    if not subordinates:
        return None
    workers = [
        {
            "worker_id": one.worker_id,
            "worker_name": one.worker_name,
            "name": one.worker_name,
            "total_gpus": len(one.claim.vram_bytes),
            **NOT_YET,
            **devices_view(one.claim),
        }
        for one in subordinates
    ]
    return {"mode": "initialize_later", "download_model_files": True, "subordinate_workers": workers}


def members_view(found: View | None, change: View, worker_id: int | None = None) -> View | None:
    """With the change made to the part on that worker; None: to every part."""
    if found is None:
        return None
    workers = [
        {**one, **change} if worker_id in (None, one["worker_id"]) else one
        for one in found["subordinate_workers"]
    ]
    return {**found, "subordinate_workers": workers}


def taken_view(claim: Claim) -> View:
    """Of a worker: VRAM by type and index."""
    return {"ram": claim.ram_bytes, "vram": dict(claim.vram_bytes)}


def _index(device: str) -> str:
    return device.rpartition(":")[2]
