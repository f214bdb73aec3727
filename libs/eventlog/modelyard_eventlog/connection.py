"""One connection to NATS, as every part of Modelyard makes it."""

from typing import Any

import structlog
from modelyard_runtime.settings import NatsSettings
from modelyard_runtime.trust import trusting
from nats.aio.client import Client

logger = structlog.stdlib.get_logger()


class QuickClient(Client):
    """nats-py's own client, but for headers: every event has a dozen of them, and reading a long log is
    mostly reading headers. Ours are plain `Name: value` lines, which need none of its care."""

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                found[name.strip()] = value.strip()
        return found


def connect_options(settings: NatsSettings, *, name: str, inbox_prefix: str = "_INBOX") -> dict[str, Any]:
    """Arguments of `nats.connect`, credentials and TLS left out.

    It reconnects for ever and never keeps a publish for later: without `pending_size=0`, a publish that
    raised a time-out while disconnected is sent after the reconnect, as a ghost of a command that its
    sender gave up.
    """
    options: dict[str, Any] = {
        "servers": settings.nats.split(","),
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "pending_size": 0,
        "inbox_prefix": inbox_prefix.encode(),
        "ping_interval": 20,
        "max_outstanding_pings": 2,
    }
    return options


async def connect(settings: NatsSettings, *, name: str, inbox_prefix: str = "_INBOX") -> Client:
    """Connects, waiting as long as it takes; says in the log what it waits for. Raises `BadSettings`."""
    client = QuickClient()
    said: set[str] = set()

    async def on_error(error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text not in said:
            said.add(text)
            logger.warning("nats", servers=settings.nats, error=text)

    async def on_disconnected() -> None:
        if not client.is_closed:
            logger.warning("nats connection lost, reconnecting", servers=settings.nats)

    async def on_reconnected() -> None:
        said.clear()
        logger.info("nats connection is back", servers=settings.nats)

    security: dict[str, Any] = {}
    if settings.nats_credentials:
        security["user_credentials"] = str(settings.nats_credentials)
    if trusted := trusting(settings.ca):
        security["tls"] = trusted
    await client.connect(
        **security,
        **connect_options(settings, name=name, inbox_prefix=inbox_prefix),
        error_cb=on_error,
        disconnected_cb=on_disconnected,
        reconnected_cb=on_reconnected,
    )
    return client
