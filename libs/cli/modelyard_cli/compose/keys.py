"""The files that NATS and each service are started with, a directory for each."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from modelyard_eventlog.credentials import server_config, service_credentials
from modelyard_runtime.private_files import write_private

from modelyard_cli.compose.certificates import serve
from modelyard_cli.compose.secrets import authority, nats_keys
from modelyard_cli.errors import UsageError

NATS_PORT = 4222
MONITOR = 'http: "127.0.0.1:8222"'
INSIDE = ("localhost", "127.0.0.1")


def write_keys(directory: Path, host: str, environment: Mapping[str, str], now: datetime) -> list[Path]:
    """`host` is the name or address by which other machines reach this one. Raises `UsageError`."""
    keys, signer = nats_keys(environment), authority(environment)
    files: dict[Path, str] = {}
    try:
        for service in ("nats", "api"):
            served = serve(signer, (service, *INSIDE, host), now)
            files[Path(service, "tls.crt")] = served.certificate
            files[Path(service, "tls.key")] = served.key
        for service in ("api", "scheduler", "gateway"):
            files[Path(service, "nats.creds")] = service_credentials(
                keys.account_seed, f"modelyard-{service}"
            )
        files[Path("nats", "nats-server.conf")] = server_config(
            keys, host="0.0.0.0", port=NATS_PORT, store_dir=Path("/data"), more=(MONITOR, *TLS)
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"A key or certificate in .env is damaged: {error}.") from error
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        write_private(directory / path, text)
    return sorted(files)


TLS = ("tls {", '  cert_file: "/keys/tls.crt"', '  key_file: "/keys/tls.key"', "  timeout: 5", "}")
