"""The hubs as they are set up. Importing this takes a second and some 20 MB: it waits until one is asked."""

from collections.abc import Mapping
from dataclasses import replace

from modelyard_contracts.deployments import Source
from pydantic import SecretStr

from modelyard_models.sources import hf_client
from modelyard_models.sources.huggingface import HuggingFace
from modelyard_models.sources.modelscope import ModelScope
from modelyard_models.sources.port import ModelSource
from modelyard_models.sources.settings import ModelSourceSettings

Hub = HuggingFace | ModelScope


def hubs_of(settings: ModelSourceSettings) -> Mapping[Source, Hub]:
    hf_client.install(settings.model_source_proxy)
    return {
        Source.HUGGINGFACE: HuggingFace(
            settings.huggingface_endpoint.rstrip("/"), _secret(settings.huggingface_token)
        ),
        Source.MODEL_SCOPE: ModelScope(
            settings.modelscope_endpoint.rstrip("/"),
            _secret(settings.modelscope_token),
            settings.model_source_proxy,
        ),
    }


def shown(hub: Hub, token: str | None) -> ModelSource:
    """The hub as the owner of `token` sees it; None: as the configured one does."""
    return replace(hub, token=token) if token else hub


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None
