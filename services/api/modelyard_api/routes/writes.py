"""Commands: a request becomes a command, the answer is the resource as it then is, with its sequence."""

from fastapi import APIRouter, Response
from modelyard_contracts.commands import (
    ApiKeyCreate,
    ApiKeyUpdate,
    ClusterCreate,
    DeploymentCreate,
    PasswordChange,
    UserCreate,
    WorkerUpdate,
)

from modelyard_api.routes.answers import Json, answer, settle
from modelyard_api.routes.bodies import DeploymentUpdateOf
from modelyard_api.routes.context import AdminOf, CallerOf, CommanderOf, ContextOf, Ident, IfMatchOf


def write_router() -> APIRouter:
    router = APIRouter(prefix="/v2")
    _add_models(router)
    _add_workers(router)
    _add_accounts(router)
    return router


def _add_models(router: APIRouter) -> None:
    @router.post("/models")
    async def create_model(
        command: DeploymentCreate, context: ContextOf, response: Response, caller: AdminOf, by: CommanderOf
    ) -> Json:
        done = await context.handlers.deployments.create(command, by, caller.hub_tokens)
        return await answer(context, response, "models", done)

    @router.put("/models/{ident}")
    async def update_model(
        ident: Ident,
        command: DeploymentUpdateOf,
        context: ContextOf,
        response: Response,
        caller: AdminOf,
        by: CommanderOf,
        if_match: IfMatchOf,
    ) -> Json:
        done = await context.handlers.deployments.update(ident, command, by, if_match, caller.hub_tokens)
        return await answer(context, response, "models", done)

    @router.delete("/models/{ident}")
    async def delete_model(
        ident: Ident, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf, if_match: IfMatchOf
    ) -> None:
        await settle(context, response, await context.handlers.deployments.delete(ident, by, if_match))

    @router.delete("/model-instances/{ident}")
    async def delete_instance(
        ident: Ident, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> None:
        await settle(context, response, await context.handlers.instances.delete(ident, by))


def _add_workers(router: APIRouter) -> None:
    @router.put("/workers/{ident}")
    async def update_worker(
        ident: Ident,
        command: WorkerUpdate,
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
        if_match: IfMatchOf,
    ) -> Json:
        done = await context.handlers.workers.update(ident, command, by, if_match)
        return await answer(context, response, "workers", done)

    @router.delete("/workers/{ident}")
    async def delete_worker(
        ident: Ident, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> None:
        await settle(context, response, await context.handlers.workers.delete(ident, by))

    @router.post("/clusters")
    async def create_cluster(
        command: ClusterCreate, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        done = await context.handlers.accounts.create_cluster(command, by)
        return await answer(context, response, "clusters", done)


def _add_accounts(router: APIRouter) -> None:
    @router.post("/users")
    async def create_user(
        command: UserCreate, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        done = await context.handlers.accounts.create_user(command, by)
        return await answer(context, response, "users", done)

    @router.put("/users/me/password")
    async def change_password(
        command: PasswordChange, context: ContextOf, response: Response, caller: CallerOf, by: CommanderOf
    ) -> None:
        done = await context.handlers.accounts.change_password(caller.user_id, command, by)
        await settle(context, response, done)

    @router.delete("/users/{ident}")
    async def delete_user(
        ident: Ident, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> None:
        await settle(context, response, await context.handlers.accounts.delete_user(ident, by))

    @router.post("/api-keys")
    async def create_key(
        command: ApiKeyCreate, context: ContextOf, response: Response, caller: CallerOf, by: CommanderOf
    ) -> Json:
        done, key = await context.handlers.accounts.create_key(caller.user_id, command, by)
        return {**await answer(context, response, "api-keys", done), "value": key.text()}

    @router.put("/api-keys/{ident}")
    async def update_key(
        ident: Ident,
        command: ApiKeyUpdate,
        context: ContextOf,
        response: Response,
        caller: CallerOf,
        by: CommanderOf,
    ) -> Json:
        owner = None if caller.is_admin else caller.user_id
        done = await context.handlers.accounts.update_key(ident, command, by, user_id=owner)
        return await answer(context, response, "api-keys", done)

    @router.delete("/api-keys/{ident}")
    async def revoke_key(
        ident: Ident, context: ContextOf, response: Response, caller: CallerOf, by: CommanderOf
    ) -> None:
        owner = None if caller.is_admin else caller.user_id
        await settle(context, response, await context.handlers.accounts.revoke_key(ident, by, user_id=owner))
