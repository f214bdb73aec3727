"""How much keys, users and routes may be asked: said as a whole, by admins."""

from fastapi import APIRouter, Response
from modelyard_contracts.access import RateLimits

from modelyard_api.routes.answers import Json, answer
from modelyard_api.routes.context import AdminOf, CommanderOf, ContextOf, Ident


def limits_router() -> APIRouter:
    router = APIRouter(prefix="/v2")

    @router.put("/api-keys/{ident}/limits")
    async def set_limits_of_key(
        ident: Ident, limits: RateLimits, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        done = await context.handlers.limits.set_of_key(ident, limits, by)
        return await answer(context, response, "api-keys", done)

    @router.put("/users/{ident}/limits")
    async def set_limits_of_user(
        ident: Ident, limits: RateLimits, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        done = await context.handlers.limits.set_of_user(ident, limits, by)
        return await answer(context, response, "users", done)

    @router.put("/model-routes/{ident}/limits")
    async def set_limits_of_route(
        ident: Ident, limits: RateLimits, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        done = await context.handlers.limits.set_of_route(ident, limits, by)
        return await answer(context, response, "model-routes", done)

    return router
