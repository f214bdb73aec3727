"""The composition root of the api."""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version as installed_version
from pathlib import Path

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from modelyard_eventlog.connection import connect
from modelyard_eventlog.log import EventLog, LogUnavailable
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import StreamRefused, provision
from modelyard_eventlog.questions import Questions
from modelyard_runtime import keys
from modelyard_runtime.clock import new_traceparent, now
from modelyard_runtime.logs import configure_logs
from modelyard_runtime.secrets import Sealer, Unsealable
from modelyard_runtime.settings import BadSettings, parse_settings
from modelyard_runtime.shutdown import stop_signal
from nats.aio.client import Client

from modelyard_api.adapters.asking import WorkerPaths
from modelyard_api.adapters.database import Database, DatabaseUnavailable
from modelyard_api.adapters.directory import ProjectedDirectory
from modelyard_api.adapters.security import Argon2Passwords, MintedCredentials
from modelyard_api.domain.deployment import MASK
from modelyard_api.domain.errors import Refusal
from modelyard_api.domain.masking import looks_secret
from modelyard_api.handlers.accounts import FIRST_ADMIN, AccountHandler
from modelyard_api.handlers.commanding import Commander
from modelyard_api.handlers.deployments import DeploymentHandler
from modelyard_api.handlers.instances import InstanceHandler
from modelyard_api.handlers.routes import RouteHandler
from modelyard_api.handlers.workers import WorkerHandler
from modelyard_api.projections.runner import Projections
from modelyard_api.routes.context import Context, Handlers, RouteSettings
from modelyard_api.routes.edge import Edge, health_router
from modelyard_api.routes.errors import add_error_handlers
from modelyard_api.routes.reads import read_router
from modelyard_api.routes.sessions import session_router
from modelyard_api.routes.writes import write_router
from modelyard_api.settings import ApiSettings

logger = structlog.stdlib.get_logger()

VERSION = installed_version("modelyard")
RETRY_S = 0.5


def build_app(context: Context) -> FastAPI:
    app = FastAPI(title="Modelyard", version=VERSION, docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.context = context
    add_error_handlers(app)
    app.add_middleware(Edge)
    for router in (health_router(VERSION), session_router(), write_router(), read_router()):
        app.include_router(router)
    return app


def build_context(settings: ApiSettings, log: EventLog, questions: Questions, db: Database) -> Context:
    sealer = Sealer(settings.secret_key.get_secret_value())
    directory = ProjectedDirectory(db)
    seed = settings.nats_account_seed
    handlers = Handlers(
        deployments=DeploymentHandler(
            log, directory, WorkerPaths(db, questions, timeout_s=settings.path_question_s), sealer, now
        ),
        instances=InstanceHandler(log, now),
        routes=RouteHandler(log, directory, now),
        workers=WorkerHandler(
            log,
            directory,
            MintedCredentials(seed.get_secret_value() if seed else None, now),
            settings.worker_nats or settings.nats,
            settings.secret_key.get_secret_value(),
            now,
        ),
        accounts=AccountHandler(log, directory, Argon2Passwords(), now),
    )
    return Context(
        log=log,
        db=db,
        projections=Projections(log, db, lambda env: shown_environment(env, sealer)),
        questions=questions,
        settings=RouteSettings(
            secret_key=settings.secret_key.get_secret_value(),
            join_token=settings.join_token.get_secret_value() if settings.join_token else None,
            session_s=settings.session_s,
            read_wait_s=settings.read_wait_s,
        ),
        now=now,
        stopping=asyncio.Event(),
        handlers=handlers,
    )


def shown_environment(sealed: dict[str, str], sealer: Sealer) -> dict[str, str]:
    """What a view may show of a sealed environment."""
    shown: dict[str, str] = {}
    for name, value in sealed.items():
        shown[name] = MASK
        if not looks_secret(name):
            with suppress(Unsealable):
                shown[name] = sealer.unseal(value)
    return shown


async def bootstrap(context: Context, settings: ApiSettings) -> None:
    """Makes the first admin, as soon as log and Postgres are there; tells the generated password once."""
    given = settings.bootstrap_password
    password = given.get_secret_value() if given else keys.generate().secret[:24]
    by = Commander(actor="system/api", command_id="bootstrap", traceparent=new_traceparent())
    while True:
        try:
            position = await context.log.position()
            if await context.projections.wait_for(position.last_seq, 10):
                made = await context.handlers.accounts.bootstrap(password, by)
                break
        except (Refusal, DatabaseUnavailable, LogUnavailable) as error:
            logger.info("the first admin waits", error=str(error))
        await asyncio.sleep(RETRY_S)
    if made and given is None:
        tell_password(password, settings.initial_password_file)


def tell_password(password: str, file: Path | None) -> None:
    if file is None:
        sys.stderr.write(f"The first admin is {FIRST_ADMIN!r} with password {password}\n")
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(password + "\n")


async def provision_until_done(nc: Client) -> None:
    while True:
        try:
            await provision(nc)
        except LogUnavailable as error:
            logger.warning("waiting for jetstream", error=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return


class _Server(uvicorn.Server):
    """uvicorn, with our own signal handling around it."""

    def install_signal_handlers(self) -> None:
        return


async def run(settings: ApiSettings) -> int:
    stop = stop_signal()
    db = Database(settings.database, pool_size=settings.database_pool)
    nc_task = asyncio.create_task(connect(settings, name="modelyard-api"))
    if not await _first(nc_task, stop):
        return 0
    nc = nc_task.result()
    context = build_context(settings, NatsEventLog(nc), Questions(nc), db)
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(context),
            host=settings.host,
            port=settings.api_port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=10,
            server_header=False,
        )
    )
    background = asyncio.create_task(_prepare(nc, context, settings))
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.wait(
            {serving, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        context.stopping.set()
        server.should_exit = True
        await serving
    finally:
        background.cancel()
        await context.projections.stop()
        await nc.close()
        await db.close()
    return 0 if server.started else 1


async def _prepare(nc: Client, context: Context, settings: ApiSettings) -> None:
    await provision_until_done(nc)
    await context.projections.start()
    await bootstrap(context, settings)


async def _first(task: "asyncio.Task[Client]", stop: asyncio.Event) -> bool:
    """True when the task is done, False if the process was asked to stop before."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        return False
    stopped.cancel()
    return True


def main(argv: Sequence[str]) -> int:
    try:
        settings = parse_settings(ApiSettings, argv, prog="modelyard api")
        Sealer(settings.secret_key.get_secret_value())
    except BadSettings as error:
        sys.stderr.write(f"modelyard api: {error}\n")
        return 2
    except ValueError as error:
        sys.stderr.write(f"modelyard api: --secret-key (MODELYARD_SECRET_KEY): {error}\n")
        return 2
    configure_logs("api", level=settings.log_level)
    try:
        return uvloop.run(run(settings))
    except StreamRefused as error:
        sys.stderr.write(f"modelyard api: NATS refused a stream: {error}\n")
        return 1
