"""What every route needs: the parts of the running service, who calls, and how a command is known again."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated

from cryptography.fernet import Fernet, InvalidToken
from fastapi import Depends, Header, Path, Request
from modelyard_contracts.access import Scope
from modelyard_contracts.deployments import Source
from modelyard_eventlog.log import EventLog
from modelyard_eventlog.questions import Questions
from modelyard_models.sources.catalogue import Catalogue
from modelyard_runtime import keys
from modelyard_runtime.clock import Now, new_id, new_traceparent
from modelyard_runtime.secrets import Sealer, Unsealable
from modelyard_runtime.tracing import span, valid_traceparent

from modelyard_api.adapters.asking import WorkerPaths
from modelyard_api.adapters.database import Database
from modelyard_api.adapters.telemetry import WorkerTelemetry
from modelyard_api.domain.deployment import NO_TOKENS, HubTokens
from modelyard_api.domain.errors import MOST_BIGINT, bad_request, conflict, forbidden, unauthorized
from modelyard_api.handlers.accounts import AccountHandler
from modelyard_api.handlers.backends import BackendHandler
from modelyard_api.handlers.commanding import Commander, command_id
from modelyard_api.handlers.deployments import DeploymentHandler
from modelyard_api.handlers.instances import InstanceHandler
from modelyard_api.handlers.limits import LimitsHandler
from modelyard_api.handlers.model_files import ModelFileHandler
from modelyard_api.handlers.providers import ProviderHandler
from modelyard_api.handlers.routes import RouteHandler
from modelyard_api.handlers.workers import WorkerHandler
from modelyard_api.projections import moments, queries
from modelyard_api.projections.moments import Moment
from modelyard_api.projections.runner import Projections
from modelyard_api.projections.worker_use import in_use

SESSION_COOKIE = "modelyard_session"


@dataclass(frozen=True, slots=True)
class Handlers:
    deployments: DeploymentHandler
    instances: InstanceHandler
    routes: RouteHandler
    providers: ProviderHandler
    workers: WorkerHandler
    accounts: AccountHandler
    backends: BackendHandler
    model_files: ModelFileHandler
    limits: LimitsHandler


@dataclass(frozen=True, slots=True)
class RouteSettings:
    secret_key: str
    join_token: str | None
    session_s: int
    read_wait_s: float


@dataclass(frozen=True, slots=True)
class Context:
    log: EventLog
    db: Database
    projections: Projections
    questions: Questions
    paths: WorkerPaths
    catalogue: Catalogue
    telemetry: WorkerTelemetry
    settings: RouteSettings
    now: Now
    prepared: asyncio.Event
    """Set once the streams, the read models and the first admin are there."""
    stopping: asyncio.Event
    handlers: Handlers

    async def moment(self) -> Moment:
        """The workers, with what is in use on them, and the instances, as they are now. Raises
        `DatabaseUnavailable`."""
        found = await moments.now(self.db)
        return replace(found, workers=[in_use(one, self.telemetry.of(one["id"])) for one in found.workers])


@dataclass(frozen=True, slots=True)
class Caller:
    user_id: int
    is_admin: bool
    hub_tokens: HubTokens = field(default_factory=lambda: NO_TOKENS, repr=False)


def get_context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextOf = Annotated[Context, Depends(get_context)]


async def require_user(request: Request, context: ContextOf) -> Caller:
    """Whoever shows an API key for management or a session that is good. Raises `Refusal` (401, 403)."""
    shown = credential_of(request)
    if shown is None:
        raise unauthorized(
            "no credential: send an API key as 'Authorization: Bearer ...' or 'X-API-Key', or log in"
        )
    key = keys.parse(shown)
    if key is not None:
        return await _caller_of_key(context, key)
    return await _caller_of_session(context, shown)


Ident = Annotated[int, Path(le=MOST_BIGINT)]
"""In a path. What no column of Postgres could hold is the id of nothing."""
CallerOf = Annotated[Caller, Depends(require_user)]


async def require_admin(caller: CallerOf) -> Caller:
    if not caller.is_admin:
        raise forbidden("only an admin may do this")
    return caller


AdminOf = Annotated[Caller, Depends(require_admin)]


def credential_of(request: Request) -> str | None:
    authorization = request.headers.get("authorization", "")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key") or request.cookies.get(SESSION_COOKIE)


async def _caller_of_key(context: Context, key: keys.ApiKey) -> Caller:
    row = await queries.api_key_by_access_key(context.db, key.access_key)
    if row is None or row.revoked or not keys.matches(key, row.secret_hash):
        raise unauthorized("the API key is not valid")
    if row.expires_at is not None and row.expires_at <= context.now():
        raise unauthorized("the API key has expired")
    user = await queries.user_by_id(context.db, row.user_id)
    if user is None or user.deleted:
        raise unauthorized("the owner of the API key is gone")
    if Scope.MANAGEMENT not in row.scope:
        raise forbidden("the API key is for inference alone: make one with the scope 'management'")
    return Caller(user_id=user.id, is_admin=user.is_admin, hub_tokens=user.hub_tokens)


def session_token(context: Context, user_id: int, password_seq: int) -> str:
    """Good until it expires or the password changes."""
    content = json.dumps({"user_id": user_id, "password_seq": password_seq}).encode()
    return Fernet(context.settings.secret_key).encrypt(content).decode()


async def _caller_of_session(context: Context, token: str) -> Caller:
    fernet = Fernet(context.settings.secret_key)
    try:
        content = json.loads(fernet.decrypt(token.encode(), ttl=context.settings.session_s))
    except InvalidToken:
        raise unauthorized("the credential is not valid, or the session has ended: log in again") from None
    user = await queries.user_by_id(context.db, content["user_id"])
    if user is None or user.deleted or user.password_seq != content["password_seq"]:
        raise unauthorized("the session has ended: log in again")
    return Caller(user_id=user.id, is_admin=user.is_admin, hub_tokens=user.hub_tokens)


def hub_token(context: Context, caller: Caller, source: Source) -> str | None:
    """The caller's own there, in clear. Raises `Refusal` (409)."""
    sealed = caller.hub_tokens.get(source)
    if sealed is None:
        return None
    try:
        return Sealer(context.settings.secret_key).unseal(sealed)
    except Unsealable as error:
        raise conflict(f"your token for {source.value} cannot be read ({error}): set it again") from error


def require_join_token(request: Request, context: ContextOf) -> None:
    """Workers join with the installation's token. Without one configured, nobody may."""
    wanted = context.settings.join_token
    shown = credential_of(request)
    if wanted is None or shown is None or not hmac.compare_digest(wanted.encode(), shown.encode()):
        raise unauthorized("the join token is not valid")


async def commander(
    request: Request,
    caller: CallerOf,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> AsyncIterator[Commander]:
    with commanding(request, f"user/{caller.user_id}", idempotency_key) as by:
        yield by


CommanderOf = Annotated[Commander, Depends(commander)]


@contextmanager
def commanding(request: Request, actor: str, idempotency_key: str | None) -> Iterator[Commander]:
    """The command of a request, which is a span of the caller's trace."""
    given = valid_traceparent(request.headers.get("traceparent"))
    name = f"{request.method} {request.scope['route'].path}"
    with span(name, given, "SERVER", **{"url.path": request.url.path, "actor": actor}) as traceparent:
        yield Commander(
            actor=actor,
            command_id=command_id(actor, idempotency_key, new_id),
            traceparent=traceparent or new_traceparent(),
        )


async def if_match(if_match: Annotated[str | None, Header()] = None) -> int | None:
    """The sequence a change was decided on. Raises `Refusal` (400) if it is none of our ETags."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isdecimal():
        raise bad_request(f"If-Match: {if_match!r} is not an ETag of this api")
    return int(text)


IfMatchOf = Annotated[int | None, Depends(if_match)]
