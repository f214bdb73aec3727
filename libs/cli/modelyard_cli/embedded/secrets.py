"""The secrets of a state directory."""

import json
import secrets
from dataclasses import asdict, dataclass

from modelyard_eventlog.credentials import NatsKeys, new_keys
from modelyard_runtime.private_files import write_private
from modelyard_runtime.secrets import Sealer

from modelyard_cli.embedded.state import StateDir
from modelyard_cli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made once, kept as long as the data: values in the log open with `secret_key` only."""

    secret_key: str
    join_token: str
    first_password: str
    nats: NatsKeys


def secrets_of(state: StateDir) -> Secrets:
    """Made at the first call. Raises `UsageError`."""
    file = state.secrets_file
    if not file.exists():
        if (state.nats / "jetstream").exists():
            raise UsageError(
                f"{file} is missing, but there is data that belongs to it.",
                hint="Put the file back, or start afresh with another --state-dir.",
            )
        made = Secrets(Sealer.new_key(), secrets.token_hex(24), secrets.token_urlsafe(15), new_keys())
        write_private(state.initial_password, made.first_password + "\n")
        write_private(file, json.dumps(asdict(made), indent=2) + "\n")
        return made
    try:
        kept = json.loads(file.read_text())
        return Secrets(**{**kept, "nats": NatsKeys(**kept["nats"])})
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UsageError(f"{file} cannot be read as it was written: {error}.") from error
