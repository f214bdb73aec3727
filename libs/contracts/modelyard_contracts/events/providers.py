"""Model servers of others, which speak OpenAI's protocol."""

from typing import ClassVar

from modelyard_contracts.base import Aggregate, Event, Owner


class ProviderEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.PROVIDER
    owner: ClassVar[Owner] = Owner.API
    provider_id: int

    def aggregate_id(self) -> str:
        return str(self.provider_id)


class ProviderCreated(ProviderEvent):
    name: str
    base_url: str
    """With its version, as clients are given it: `https://api.example.com/v1`."""
    sealed_api_key: str | None = None
    """As environment values are sealed; None: it asks for none."""
    description: str | None = None


class ProviderChanged(ProviderEvent):
    name: str
    base_url: str
    sealed_api_key: str | None = None
    description: str | None = None


class ProviderDeleted(ProviderEvent):
    name: str
