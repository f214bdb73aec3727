"""The composition root of the api."""

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
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
from modelyard_eventlog.restoring import RestoreRefused
from modelyard_eventlog.usage import UsageStream
from modelyard_models.sources.catalogue import Catalogue
from modelyard_runtime import keys
from modelyard_runtime.clock import new_id, new_traceparent, now
from modelyard_runtime.listening import listen
from modelyard_runtime.logs import configure_logs
from modelyard_runtime.secrets import Sealer
from modelyard_runtime.settings import BadSettings, parse_settings
from modelyard_runtime.shutdown import ends_before, stop_signal
from modelyard_runtime.tracing import configure_traces
from nats.aio.client import Client

from modelyard_api.adapters.asking import WorkerPaths
from modelyard_api.adapters.database import Database, DatabaseUnavailable
from modelyard_api.adapters.directory import ProjectedDirectory
from modelyard_api.adapters.security import Argon2Passwords, MintedCredentials, shown_environment
from modelyard_api.adapters.telemetry import WorkerTelemetry
from modelyard_api.domain.errors import Refusal
from modelyard_api.handlers.accounts import FIRST_ADMIN, AccountHandler
from modelyard_api.handlers.backends import BackendHandler
from modelyard_api.handlers.commanding import Commander
from modelyard_api.handlers.deployments import DeploymentHandler
from modelyard_api.handlers.instances import InstanceHandler
from modelyard_api.handlers.limits import LimitsHandler
from modelyard_api.handlers.model_files import ModelFileHandler
from modelyard_api.handlers.providers import ProviderHandler
from modelyard_api.handlers.restoring import difference, restore_log
from modelyard_api.handlers.routes import RouteHandler
from modelyard_api.handlers.workers import WorkerHandler
from modelyard_api.projections.archive import CURE
from modelyard_api.projections.group import Halted
from modelyard_api.projections.metering import Metering
from modelyard_api.projections.runner import Projections
from modelyard_api.routes.context import Context, Handlers, RouteSettings
from modelyard_api.routes.edge import Edge, health_router
from modelyard_api.routes.errors import add_error_handlers
from modelyard_api.routes.hub_tokens import hub_token_router
from modelyard_api.routes.inference_backends import inference_backend_router
from modelyard_api.routes.limits import limits_router
from modelyard_api.routes.model_evaluations import model_evaluation_router
from modelyard_api.routes.model_files import model_file_router
from modelyard_api.routes.model_memory import model_memory_router
from modelyard_api.routes.model_routes import model_route_router
from modelyard_api.routes.model_sources import model_source_router
from modelyard_api.routes.reads import read_router
from modelyard_api.routes.sessions import session_router
from modelyard_api.routes.usage import usage_router
from modelyard_api.routes.writes import write_router
from modelyard_api.settings import ApiSettings, RestoreLog

logger = structlog.stdlib.get_logger()

VERSION = installed_version("modelyard")
RETRY_S = 0.5
SYSTEM = "system/api"


def build_app(context: Context) -> FastAPI:
    app = FastAPI(
        title="Modelyard", version=VERSION, docs_url=None, redoc_url=None, openapi_url="/openapi.json"
    )
    app.state.context = context
    add_error_handlers(app)
    app.add_middleware(Edge)
    for router in (
        health_router(VERSION),
        session_router(),
        hub_token_router(),
        write_router(),
        inference_backend_router(),
        model_file_router(),
        limits_router(),
        model_route_router(),
        read_router(),
        model_source_router(),
        model_evaluation_router(),
        model_memory_router(),
        usage_router(),
    ):
        app.include_router(router)
    return app


def build_context(settings: ApiSettings, log: EventLog, questions: Questions, db: Database) -> Context:
    sealer = Sealer(settings.secret_key.get_secret_value())
    directory = ProjectedDirectory(db)
    seed = settings.nats_account_seed
    paths = WorkerPaths(db, questions, timeout_s=settings.path_question_s)
    handlers = Handlers(
        deployments=DeploymentHandler(log, directory, paths, sealer, now),
        instances=InstanceHandler(log, now),
        routes=RouteHandler(log, directory, now),
        providers=ProviderHandler(log, directory, sealer, now),
        workers=WorkerHandler(
            log,
            directory,
            MintedCredentials(seed.get_secret_value() if seed else None, now),
            settings.worker_nats or settings.nats,
            settings.secret_key.get_secret_value(),
            now,
        ),
        accounts=AccountHandler(log, directory, Argon2Passwords(), sealer, now),
        backends=BackendHandler(log, directory, sealer, now),
        model_files=ModelFileHandler(log, directory, now),
        limits=LimitsHandler(log, now),
    )
    return Context(
        log=log,
        db=db,
        projections=Projections(log, db, lambda env: shown_environment(env, sealer)),
        questions=questions,
        paths=paths,
        catalogue=Catalogue(settings),
        telemetry=WorkerTelemetry(now),
        settings=RouteSettings(
            secret_key=settings.secret_key.get_secret_value(),
            join_token=settings.join_token.get_secret_value() if settings.join_token else None,
            session_s=settings.session_s,
            read_wait_s=settings.read_wait_s,
        ),
        now=now,
        prepared=asyncio.Event(),
        stopping=asyncio.Event(),
        handlers=handlers,
    )


async def bootstrap(context: Context, settings: ApiSettings) -> None:
    """Makes the first admin, as soon as the log is there.

    A generated password is told before the account is made: better one that opens nothing than an
    account that nobody can open.
    """
    given = settings.bootstrap_password
    password = given.get_secret_value() if given else keys.generate().secret[:24]
    by = Commander(actor=SYSTEM, command_id="bootstrap", traceparent=new_traceparent())

    async def make() -> None:
        if await context.handlers.accounts.has_admin():
            return
        if given is None:
            tell_password(password, settings.initial_password_file)
        await context.handlers.accounts.bootstrap(password, by)

    await until_done("the first admin", make)


async def state_built_in_backends(context: Context) -> None:
    by = Commander(actor=SYSTEM, command_id=new_id(), traceparent=new_traceparent())
    await until_done("the built-in backends", lambda: context.handlers.backends.install_built_in(by))


async def until_done(what: str, do: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await do()
        except (Refusal, DatabaseUnavailable, LogUnavailable) as error:
            logger.info("waiting to state", what=what, error=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return


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


class LogDiffers(Exception):
    """The log is not the one that was archived: what was acknowledged would be lost by going on."""


async def match_archive(nc: Client, db: Database, restoring: RestoreLog) -> None:
    """Sees to it that the log holds what the archive does. Waits for Postgres.

    Raises `LogDiffers`, `RestoreRefused`, `Halted`.
    """
    while True:
        try:
            if restoring != RestoreLog.NEVER:
                restored = await restore_log(nc, db, replace_log=restoring == RestoreLog.REPLACE)
                logger.info("the log is complete", restored=restored.events, last_seq=restored.last_seq)
            elif (reason := await difference(NatsEventLog(nc), db)) is not None:
                raise LogDiffers(f"the archive: {reason}; {CURE}")
        except (DatabaseUnavailable, LogUnavailable) as error:
            logger.warning("waiting to compare the log with its archive", error=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return


class Server(uvicorn.Server):
    """Leaves signals to the composition root."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(settings: ApiSettings, listener: socket.socket) -> int:
    stop = stop_signal()
    connecting = asyncio.create_task(connect(settings, name="modelyard-api"))
    if not await ends_before(stop, connecting):
        return 0
    nc = connecting.result()
    db = Database(settings.database, pool_size=settings.database_pool)
    context = build_context(settings, NatsEventLog(nc), Questions(nc), db)
    server = Server(
        uvicorn.Config(
            build_app(context),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=10,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
        )
    )
    preparing = asyncio.create_task(_prepare(nc, context, settings))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    logger.info("api listens", host=settings.host, port=settings.api_port)
    broken = await _broken_before(stop, preparing, serving)
    context.stopping.set()
    server.should_exit = True
    await asyncio.gather(serving, preparing, return_exceptions=True)
    await context.projections.stop()
    context.catalogue.close()
    await nc.close()
    await db.close()
    if broken is not None:
        raise broken
    return 0


async def _broken_before(
    stop: asyncio.Event, preparing: "asyncio.Task[None]", serving: "asyncio.Task[None]"
) -> BaseException | None:
    """Waits until the process is asked to stop; what went wrong instead, if something did."""
    stopping = asyncio.create_task(stop.wait())
    waiting: set[asyncio.Task[None] | asyncio.Task[bool]] = {preparing, serving, stopping}
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        failed = next((task.exception() for task in done if task.exception()), None)
        if failed is not None or stopping in done or serving in done:
            stopping.cancel()
            preparing.cancel()
            return failed


async def _prepare(nc: Client, context: Context, settings: ApiSettings) -> None:
    await provision_until_done(nc)
    await match_archive(nc, context.db, settings.restore_log)
    await context.projections.start()
    await bootstrap(context, settings)
    await state_built_in_backends(context)
    context.prepared.set()
    metering = Metering(UsageStream(nc), context.db)
    await asyncio.gather(context.telemetry.follow(nc), metering.run())


def check_secret_key(settings: ApiSettings) -> None:
    """Raises `BadSettings`."""
    try:
        Sealer(settings.secret_key.get_secret_value())
    except ValueError as error:
        raise BadSettings(f"--secret-key (MODELYARD_SECRET_KEY): {error}") from error


def check_certificate(settings: ApiSettings) -> None:
    """Raises `BadSettings`."""
    if settings.tls_certificate is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.tls_certificate, settings.tls_key
        )
    except (OSError, ssl.SSLError) as error:
        raise BadSettings(f"--tls-certificate, --tls-key: {error}") from error


def main(argv: Sequence[str]) -> int:
    try:
        settings = parse_settings(ApiSettings, argv, prog="modelyard api")
        configure_traces("api")
        check_secret_key(settings)
        check_certificate(settings)
        listener = listen(settings.host, settings.api_port, port_flag="--api-port")
    except BadSettings as error:
        sys.stderr.write(f"modelyard api: {error}\n")
        return 2
    configure_logs("api", level=settings.log_level)
    try:
        return uvloop.run(run(settings, listener))
    except StreamRefused as error:
        sys.stderr.write(f"modelyard api: NATS refused a stream: {error}\n")
        return 1
    except (LogDiffers, RestoreRefused, Halted) as error:
        sys.stderr.write(f"modelyard api: {error}\n")
        return 2
