"""Logging in and out, and how a worker joins."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from modelyard_contracts.commands import Login, LoginAnswer
from modelyard_contracts.join import JoinAnswer, JoinRequest

from modelyard_api.domain.errors import unauthorized
from modelyard_api.projections import queries
from modelyard_api.routes.context import (
    SESSION_COOKIE,
    ContextOf,
    commanding,
    require_join_token,
    session_token,
)

NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$uS8c2vXbXzVfSIkYUT3rPWZxTbKpPj0ILqn7wh8DH2k"
"""A hash that no password has: an unknown user costs as much time as a wrong password."""


def session_router() -> APIRouter:
    router = APIRouter()

    @router.post("/auth/login")
    async def login(command: Login, context: ContextOf, request: Request, response: Response) -> LoginAnswer:
        user = await queries.user_by_name(context.db, command.username)
        known = user is not None and not user.deleted
        password_hash = user.password_hash if user is not None and known else NOBODY
        right = await context.handlers.accounts.passwords.verify(command.password, password_hash)
        if user is None or not known or not right:
            raise unauthorized("username or password is not right")
        token = session_token(context, user.id, user.password_seq)
        response.set_cookie(
            SESSION_COOKIE,
            token,
            max_age=context.settings.session_s,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return LoginAnswer(access_token=token, expires_in=context.settings.session_s)

    @router.post("/auth/logout")
    async def logout(response: Response) -> None:
        response.delete_cookie(SESSION_COOKIE)

    @router.post("/v2/workers")
    async def join(
        body: JoinRequest,
        context: ContextOf,
        request: Request,
        _: Annotated[None, Depends(require_join_token)],
    ) -> JoinAnswer:
        with commanding(request, f"worker/{body.worker_uuid}", None) as by:
            return await context.handlers.workers.join(body, by)

    return router
