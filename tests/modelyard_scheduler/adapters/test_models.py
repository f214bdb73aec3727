"""Gated models are looked at with the deployment's own token, which only the installation's key opens."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, hub_server
from modelyard_contracts.deployments import Source
from modelyard_eventlog.questions import Questions
from modelyard_models_hub import HUBS, SecretStr, at, catalogue_for, fill
from modelyard_runtime.secrets import Sealer
from modelyard_scheduler.adapters.models import ModelSources
from modelyard_scheduler.ports import NotInspected
from nats.aio.client import Client

SEALER = Sealer(Sealer.new_key())
SEALED = SEALER.seal("hf_open")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with hub_server() as server:
        fill(server, tmp_path)
        yield server


def sources(hub: Hub, directory: Path, sealer: Sealer | None, **settings: object) -> ModelSources:
    catalogue = catalogue_for(hub, directory, **settings)
    return ModelSources(catalogue, Questions(Client()), sealer, path_question_s=1.0)


@pytest.mark.parametrize("source", HUBS)
async def test_the_deployments_token_opens_what_no_other_does(
    hub: Hub, tmp_path: Path, source: Source
) -> None:
    models = sources(hub, tmp_path, SEALER)
    with pytest.raises(NotInspected, match="gated"):
        await models.inspect(at(source, "org/gated"), None, ())
    facts = await models.inspect(at(source, "org/gated"), SEALED, ())
    assert facts.architectures == ("LlamaForCausalLM",)


async def test_without_the_key_only_the_configured_token_counts(hub: Hub, tmp_path: Path) -> None:
    gated = at(Source.HUGGINGFACE, "org/gated")
    with pytest.raises(NotInspected, match="gated"):
        await sources(hub, tmp_path, None).inspect(gated, SEALED, ())
    configured = sources(hub, tmp_path, None, huggingface_token=SecretStr("hf_open"))
    assert (await configured.inspect(gated, SEALED, ())).weight_bytes > 0


async def test_a_token_that_another_key_sealed_is_said_without_it(hub: Hub, tmp_path: Path) -> None:
    other = Sealer(Sealer.new_key())
    with pytest.raises(NotInspected, match="does not open") as told:
        await sources(hub, tmp_path, other).inspect(at(Source.HUGGINGFACE, "org/gated"), SEALED, ())
    assert SEALED not in str(told.value)
    assert "hf_open" not in hub.tokens
