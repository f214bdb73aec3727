"""The secrets of one installation as lines of `.env`."""

import secrets
from collections.abc import Mapping
from datetime import datetime

from modelyard_eventlog.credentials import NatsKeys, new_keys
from modelyard_runtime.secrets import Sealer

from modelyard_cli.compose.certificates import Authority, new_authority
from modelyard_cli.errors import UsageError

CURE = "Make the secrets first: docker compose run --rm -T keys compose secrets >> .env"


def new_secrets(now: datetime) -> dict[str, str]:
    nats, authority = new_keys(), new_authority(now)
    return {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "MODELYARD_SECRET_KEY": Sealer.new_key(),
        "MODELYARD_JOIN_TOKEN": secrets.token_hex(24),
        "MODELYARD_BOOTSTRAP_PASSWORD": secrets.token_urlsafe(15),
        "MODELYARD_NATS_OPERATOR_SEED": nats.operator_seed,
        "MODELYARD_NATS_ACCOUNT_SEED": nats.account_seed,
        "MODELYARD_NATS_SYSTEM_SEED": nats.system_account_seed,
        "MODELYARD_CA": authority.certificate,
        "MODELYARD_CA_KEY": authority.key,
    }


def nats_keys(environment: Mapping[str, str]) -> NatsKeys:
    """Raises `UsageError`."""
    return NatsKeys(
        operator_seed=given(environment, "MODELYARD_NATS_OPERATOR_SEED"),
        account_seed=given(environment, "MODELYARD_NATS_ACCOUNT_SEED"),
        system_account_seed=given(environment, "MODELYARD_NATS_SYSTEM_SEED"),
    )


def authority(environment: Mapping[str, str]) -> Authority:
    """Raises `UsageError`."""
    return Authority(given(environment, "MODELYARD_CA"), given(environment, "MODELYARD_CA_KEY"))


def given(environment: Mapping[str, str], name: str) -> str:
    """Raises `UsageError`."""
    if not environment.get(name):
        raise UsageError(f"{name} is not in .env.", hint=CURE)
    return environment[name]
