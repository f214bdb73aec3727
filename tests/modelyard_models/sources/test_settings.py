"""The variables that the hubs' own tools know count too; ours win."""

from pathlib import Path

import pytest
from hub_server import Hub
from modelyard_contracts.deployments import Source
from modelyard_models.sources.catalogue import Catalogue
from modelyard_models.sources.port import Search
from modelyard_models.sources.settings import ModelSourceSettings
from modelyard_models_hub import CONFIG, HUBS, at, settings_for

NOWHERE = "http://hub.invalid"


def test_the_variables_of_the_hubs_own_tools_count_and_ours_win(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HF_ENDPOINT": "https://mirror",
        "HF_TOKEN": "hf_a",
        "MODELSCOPE_ENDPOINT": "https://scope",
        "MODELSCOPE_API_TOKEN": "ms_a",
        "MODELYARD_MODELSCOPE_ENDPOINT": "https://ours",
    }.items():
        monkeypatch.setenv(name, value)
    settings = ModelSourceSettings()
    assert settings.huggingface_endpoint == "https://mirror"
    assert settings.modelscope_endpoint == "https://ours"
    assert settings.huggingface_token is not None
    assert settings.huggingface_token.get_secret_value() == "hf_a"
    assert settings.modelscope_token is not None
    assert "hf_a" not in repr(settings)
    assert "ms_a" not in repr(settings)


@pytest.mark.parametrize("source", HUBS)
async def test_hubs_are_reached_through_a_proxy(hub: Hub, tmp_path: Path, source: Source) -> None:
    catalogue = Catalogue(settings_for(NOWHERE, tmp_path, model_source_proxy=hub.url))
    assert (await catalogue.inspect(at(source, "org/tiny"))).facts.config == CONFIG
    assert len((await catalogue.search(source, Search(text="tiny"))).models) == 2
    catalogue.close()


@pytest.mark.parametrize("source", HUBS)
async def test_the_configured_token_is_shown_to_the_hub(hub: Hub, tmp_path: Path, source: Source) -> None:
    token = {"huggingface_token": "hf_open", "modelscope_token": "hf_open"}
    catalogue = Catalogue(settings_for(hub.url, tmp_path, **token))
    assert (await catalogue.inspect(at(source, "org/gated"))).facts.config == CONFIG
    assert "hf_open" in hub.tokens
    catalogue.close()
