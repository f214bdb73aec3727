"""The tokens that a user keeps for the hubs: set and deleted, never shown."""

from enum import StrEnum

from fastapi import APIRouter, Response
from modelyard_contracts.commands import HubTokenChange
from modelyard_contracts.deployments import Source

from modelyard_api.routes.answers import settle
from modelyard_api.routes.context import CallerOf, CommanderOf, ContextOf


class Hub(StrEnum):
    HUGGINGFACE = "huggingface"
    MODELSCOPE = "modelscope"

    def source(self) -> Source:
        return Source.HUGGINGFACE if self is Hub.HUGGINGFACE else Source.MODEL_SCOPE


def hub_token_router() -> APIRouter:
    router = APIRouter(prefix="/v2/users/me/hub-tokens")

    @router.get("")
    async def hub_tokens_set(caller: CallerOf) -> dict[str, bool]:
        return {hub.value: hub.source() in caller.hub_tokens for hub in Hub}

    @router.put("/{hub}")
    async def set_hub_token(
        hub: Hub,
        command: HubTokenChange,
        context: ContextOf,
        response: Response,
        caller: CallerOf,
        by: CommanderOf,
    ) -> None:
        done = await context.handlers.accounts.set_hub_token(caller.user_id, hub.source(), command, by)
        await settle(context, response, done)

    @router.delete("/{hub}")
    async def delete_hub_token(
        hub: Hub, context: ContextOf, response: Response, caller: CallerOf, by: CommanderOf
    ) -> None:
        done = await context.handlers.accounts.delete_hub_token(caller.user_id, hub.source(), by)
        await settle(context, response, done)

    return router
