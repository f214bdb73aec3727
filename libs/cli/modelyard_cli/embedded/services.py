"""Modelyard's own services as child processes: settings by environment, so no secret is on a command line."""

import os
import sys
from collections.abc import Mapping

from modelyard_cli.embedded import postgres
from modelyard_cli.embedded.nats import write_credentials
from modelyard_cli.embedded.options import UpOptions
from modelyard_cli.embedded.processes import Program
from modelyard_cli.embedded.secrets import Secrets
from modelyard_cli.embedded.state import StateDir


def api(state: StateDir, secrets: Secrets, options: UpOptions) -> Program:
    return _program(
        state,
        options,
        "api",
        {
            "NATS_CREDENTIALS": str(write_credentials(state, secrets, "api")),
            "NATS_ACCOUNT_SEED": secrets.nats.account_seed,
            "DATABASE": postgres.url(state),
            "HOST": options.host,
            "API_PORT": str(options.api_port),
            "SECRET_KEY": secrets.secret_key,
            "JOIN_TOKEN": secrets.join_token,
            "BOOTSTRAP_PASSWORD": secrets.first_password,
        },
    )


def scheduler(state: StateDir, secrets: Secrets, options: UpOptions, health_port: int) -> Program:
    settings = {
        "NATS_CREDENTIALS": str(write_credentials(state, secrets, "scheduler")),
        "SCHEDULER_HEALTH_PORT": str(health_port),
        "SECRET_KEY": secrets.secret_key,
    }
    return _program(state, options, "scheduler", settings)


def gateway(state: StateDir, secrets: Secrets, options: UpOptions) -> Program:
    return _program(
        state,
        options,
        "gateway",
        {
            "NATS_CREDENTIALS": str(write_credentials(state, secrets, "gateway")),
            "HOST": options.host,
            "PORT": str(options.gateway_port),
            "SECRET_KEY": secrets.secret_key,
            "SNAPSHOT": str(state.root / "gateway-snapshot.json"),
            "USAGE_SPOOL": str(state.root / "gateway-usage"),
            "SHUTDOWN_GRACE_S": "5",
        },
    )


def worker(state: StateDir, secrets: Secrets, options: UpOptions) -> Program:
    return _program(
        state,
        options,
        "worker",
        {
            "API": options.api_url,
            "JOIN_TOKEN": secrets.join_token,
            "WORKER_STATE": str(state.worker),
            "STOP_MODELS_ON_EXIT": "true",
        },
        module="modelyard_worker_agent",
        stop_timeout_s=40.0,
    )


def _program(
    state: StateDir,
    options: UpOptions,
    name: str,
    settings: Mapping[str, str],
    *,
    module: str | None = None,
    stop_timeout_s: float = 15.0,
) -> Program:
    common = {"NATS": options.nats_url, "LOG_LEVEL": options.log_level}
    ours = {f"MODELYARD_{key}": value for key, value in {**common, **settings}.items()}
    return Program(
        name=name,
        argv=[sys.executable, "-m", module or f"modelyard_{name}"],
        log=state.logs / f"{name}.log",
        # what else the person has set reaches the services too: intervals, limits, proxies, HF_TOKEN
        env={**os.environ, **ours},
        cwd=state.root,
        stop_timeout_s=stop_timeout_s,
    )
