"""Adapters and draft models are looked at like models, waited for, and counted in what is claimed."""

from pathlib import Path

from hub_answering import safetensors
from hub_server import hub_server
from modelyard_contracts.deployments import DeploymentSpec, LoraAdapter, Source, SpeculativeConfig
from modelyard_contracts.events import InstanceScheduled, InstanceUnschedulable, ModelInspected
from modelyard_models_hub import fill
from modelyard_placement.by_size import OF_WEIGHTS
from modelyard_scheduler.domain.replaying import Replay
from modelyard_scheduler.handlers.inspection import InspectionHandler
from modelyard_scheduler_cluster import Cluster
from modelyard_scheduler_looking import looked_at, place, sources
from modelyard_scheduler_world import GIB, inspected, inventory, ready, registered, requested

PLAIN = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/tiny", backend="own-custom")
"""Claimed by size alone."""


def with_companions(adapter: LoraAdapter, draft_model: str) -> DeploymentSpec:
    said = SpeculativeConfig(enabled=True, algorithm="eagle3", draft_model=draft_model)
    return PLAIN.model_copy(update={"lora_list": (adapter,), "speculative_config": said})


def directory_of(path: Path, description: str, text: str, weights: str, elements: int) -> int:
    """How large its weights are."""
    path.mkdir()
    (path / description).write_text(text)
    return (path / weights).write_bytes(safetensors({"w": ("F16", (elements,))}))


async def test_what_is_claimed_grows_by_adapters_and_the_draft_model(
    cluster: Cluster, tmp_path: Path
) -> None:
    adapter, draft = tmp_path / "law", tmp_path / "draft"
    more = directory_of(adapter, "adapter_config.json", '{"r": 32}', "adapter_model.safetensors", 10**6)
    more += directory_of(draft, "config.json", '{"model_type": "llama"}', "model.safetensors", 3 * 10**6)
    law = LoraAdapter(lora_name="law", source=Source.LOCAL_PATH, local_path=str(adapter))
    spec = with_companions(law, str(draft))
    worker = (registered(1), ready(1), inventory(1, backend="own-custom"))
    asked = (requested(5, spec=PLAIN), requested(6, deployment_id=4, spec=spec))
    await cluster.tell(*worker, inspected(PLAIN), *asked)
    async with cluster.scheduler() as scheduler:
        with sources(tmp_path) as local:
            handler = InspectionHandler(scheduler.decider, local)
            await place(scheduler, handler, 5, 6)
            assert [one.instance_id for one in await cluster.facts(InstanceScheduled)] == [5]
            await looked_at(handler)
            await place(scheduler, handler, 6)
    seen = {fact.coordinates.repo: fact.facts for fact in await cluster.facts(ModelInspected)}
    assert seen[str(adapter)].config == {"r": 32}
    assert seen[str(adapter)].weight_bytes + seen[str(draft)].weight_bytes == more
    plain, grown = [one.claim.ram_bytes for one in await cluster.facts(InstanceScheduled)]
    assert grown - plain == int((GIB + more) * OF_WEIGHTS) - int(GIB * OF_WEIGHTS)

    story = await cluster.story()
    replay = Replay()
    replay.add(story)
    again = [replay.decide(event) for event in story if isinstance(event.data, InstanceScheduled)]
    assert [one.identical for one in again] == [True, True]


async def test_what_cannot_be_looked_at_is_named_by_its_field(cluster: Cluster, tmp_path: Path) -> None:
    law = LoraAdapter(lora_name="law", lora_repo_name="org/gated")
    await cluster.tell(requested(5, spec=with_companions(law, "org/absent")))
    with hub_server() as hub, sources(tmp_path, hub.url) as of_hub:
        fill(hub, tmp_path)
        async with cluster.scheduler() as scheduler:
            handler = InspectionHandler(scheduler.decider, of_hub)
            await place(scheduler, handler, 5)
            await looked_at(handler)
            assert handler.placeable([5]) == []
            await looked_at(handler)
    [known] = await cluster.facts(ModelInspected)
    assert known.coordinates.repo == "org/tiny"
    told = (await cluster.facts(InstanceUnschedulable))[-1]
    assert {reason.check for reason in told.reasons} == {"model_metadata"}
    of_adapter, of_draft = [reason.message for reason in told.reasons]
    assert of_adapter.startswith("lora_list: law: org/gated")
    assert of_draft.startswith("speculative_config.draft_model: org/absent")
    assert of_adapter in told.message

    story = await cluster.story()
    replay = Replay()
    replay.add(story)
    again = [replay.decide(event) for event in story if isinstance(event.data, InstanceUnschedulable)]
    assert again
    assert all(one.identical for one in again)


async def test_an_adapter_that_nobody_has_is_not_left_to_placement(cluster: Cluster, tmp_path: Path) -> None:
    law = LoraAdapter(lora_name="law", source=Source.LOCAL_PATH, local_path="/adapters/law")
    spec = PLAIN.model_copy(update={"lora_list": (law,)})
    await cluster.tell(inspected(PLAIN), requested(5, spec=spec))
    async with cluster.scheduler() as scheduler:
        with sources(tmp_path) as local:
            handler = InspectionHandler(scheduler.decider, local)
            await place(scheduler, handler, 5)
            await looked_at(handler)
            assert handler.placeable([5]) == []
    [told] = await cluster.facts(InstanceUnschedulable)
    [reason] = told.reasons
    assert reason.message.startswith("lora_list: law: /adapters/law is neither a directory")
