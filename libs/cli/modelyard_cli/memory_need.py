"""What a model needs of memory, as a table for people and as JSON."""

from typing import Any

from modelyard_contracts.models import ModelFacts
from modelyard_models.layout import Layout
from modelyard_models.need import DeviceNeed, HostNeed, MemoryNeed

from modelyard_cli.output import say, show_table


def as_json(need: MemoryNeed) -> dict[str, Any]:
    """With the sums, which are worked out from the parts."""
    whole = need.model_dump(mode="json")
    for shown, device in zip(whole["devices"], need.devices, strict=True):
        shown["needed_bytes"] = device.needed_bytes
    for shown, host in zip(whole["hosts"], need.hosts, strict=True):
        shown["needed_bytes"] = host.needed_bytes
    return whole


def show_need(facts: ModelFacts, need: MemoryNeed, layout: Layout, why: str | None = None) -> None:
    """`why` the file was chosen of several."""
    share = f", {need.fraction:g} of each device" if need.fraction else ""
    version = f" {need.backend_version}" if need.backend_version else ""
    say(f"{facts.location} with {need.backend}{version}{share}")
    if why is not None:
        say(f"{facts.file}: {why}")
    say("")
    for first, last in _alike(need.devices):
        name = f"device {first.rank}" if first is last else f"devices {first.rank}-{last.rank}, each"
        _show_parts(name, first)
        memory = layout.devices()[first.rank].memory_bytes
        rows = [("needed", _gib(first.needed_bytes)), ("will be taken", _gib(first.claim_bytes))]
        if first.beside_bytes:
            rows.append(("taken beside that", _gib(first.beside_bytes)))
        show_table(("TOTAL", ""), [*rows, ("memory", _gib(memory))])
        say("")
    for host in need.hosts:
        _show_parts(f"main memory of worker {host.worker}", host)
        say("")
    show_table(("SUMMARY", ""), [row for row in _summary(need) if row[1] is not None])
    for note in need.notes:
        say(f"- {note}")


def _alike(devices: tuple[DeviceNeed, ...]) -> list[tuple[DeviceNeed, DeviceNeed]]:
    """Runs of devices that need the same: the first and the last of each."""
    runs: list[tuple[DeviceNeed, DeviceNeed]] = []
    for device in devices:
        if runs and runs[-1][0].parts == device.parts and runs[-1][0].claim_bytes == device.claim_bytes:
            runs[-1] = (runs[-1][0], device)
        else:
            runs.append((device, device))
    return runs


def _show_parts(title: str, need: DeviceNeed | HostNeed) -> None:
    rows = [(part.name, _gib(part.bytes), part.note) for part in need.parts]
    if need.margin_bytes:
        rows.append(("margin", _gib(need.margin_bytes), "for what an estimate may miss"))
    show_table((title.upper(), "", ""), rows)


def _summary(need: MemoryNeed) -> list[tuple[str, object]]:
    return [
        ("fits", "yes" if need.fits else "no"),
        ("confidence", need.confidence.value),
        ("context", f"{need.context_tokens} tokens" if need.context_tokens else None),
        ("KV cache of a token", f"{need.kv_bytes_per_token:,.0f} bytes" if need.kv_bytes_per_token else None),
        ("largest context that fits", need.largest_context),
        ("tokens of cache that fit", need.cache_tokens),
        ("sequences at once", need.concurrency),
        (
            "layers on devices",
            None if need.offloaded_layers is None else f"{need.offloaded_layers} of {need.total_layers}",
        ),
    ]


def _gib(size: int) -> str:
    return f"{size / 1024**3:.2f} GiB"
