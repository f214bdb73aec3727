"""How the sources of models are reached: the same settings in every service that asks them."""

import os
from pathlib import Path

from modelyard_runtime.settings import ServiceSettings
from pydantic import Field, SecretStr


class HubSettings(ServiceSettings):
    huggingface_endpoint: str = Field(
        default_factory=lambda: os.environ.get("HF_ENDPOINT", "https://huggingface.co"),
        description="URL of Hugging Face or a mirror; HF_ENDPOINT counts too.",
    )
    huggingface_token: SecretStr | None = Field(
        default_factory=lambda: _secret("HF_TOKEN"),
        description="Token for gated and private models of Hugging Face; HF_TOKEN counts too.",
    )
    modelscope_endpoint: str = Field(
        default_factory=lambda: os.environ.get("MODELSCOPE_ENDPOINT", "https://modelscope.cn"),
        description="URL of ModelScope; MODELSCOPE_ENDPOINT counts too.",
    )
    modelscope_token: SecretStr | None = Field(
        default_factory=lambda: _secret("MODELSCOPE_API_TOKEN"),
        description="Token for ModelScope; MODELSCOPE_API_TOKEN counts too.",
    )
    model_source_proxy: str | None = Field(
        None, description="URL of a proxy to the hubs; without it HTTP_PROXY, HTTPS_PROXY and NO_PROXY count."
    )


class ModelSourceSettings(HubSettings):
    model_source_timeout_s: float = Field(
        30.0, gt=0, description="For how long one look at a model may take in all."
    )
    model_source_offline: bool = Field(
        False, description="Ask no hub for anything: only what is cached or on this machine is known."
    )
    model_cache: Path = Field(
        Path("~/.cache/modelyard/sources"),
        description="Directory of what was read of models at their sources.",
    )
    model_cache_bytes: int = Field(2 << 30, ge=0, description="Most that is kept there; the least used goes.")
    model_cache_expiry_s: float = Field(
        600.0,
        ge=0,
        description="For how long it is not asked again what a branch holds; a commit never changes.",
    )


def _secret(variable: str) -> SecretStr | None:
    value = os.environ.get(variable)
    return SecretStr(value) if value else None
