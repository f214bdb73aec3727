"""The base of every service's settings: `MODELYARD_<FIELD>` in the environment, `--<field>` flags win."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from modelyard_contracts.complaints import complaint
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict, SettingsError

ENV_PREFIX = "MODELYARD_"


class BadSettings(Exception):
    """What is wrong with a flag or a variable, in one sentence for the person who set it."""


class ServiceSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="ignore", cli_kebab_case=True)

    log_level: str = Field("INFO", description="Least level that is logged.")


class NatsSettings(ServiceSettings):
    nats: str = Field("nats://127.0.0.1:7702", description="URL of the NATS server; several with commas.")
    nats_credentials: Path | None = Field(None, description="File with a NATS user JWT and seed (.creds).")
    ca: str | None = Field(
        None, description="Certificate authority to trust for TLS, as base64 of its DER, beside the system's."
    )


S = TypeVar("S", bound=ServiceSettings)


def parse_settings(settings: type[S], argv: Sequence[str], *, prog: str) -> S:
    """Settings from flags and environment. `--help` prints all of them and exits 0.

    Raises `BadSettings`.
    """
    try:
        source: CliSettingsSource[S] = CliSettingsSource(
            settings, cli_prog_name=prog, cli_parse_args=list(argv), cli_exit_on_error=False
        )
        return settings(_cli_settings_source=source)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadSettings(
            f"--{field.replace('_', '-')} ({ENV_PREFIX}{field.upper()}): {complaint(first)}"
        ) from error
    except SettingsError as error:
        raise BadSettings(str(error)) from error
