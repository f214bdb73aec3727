"""Who may say what on NATS: an operator, one account for Modelyard, and a user per service and worker.

The server knows the operator and the accounts only. Users bring a JWT that the account's key signed, so a
worker joins and expires without a change to the server. Claims are version 2 of the NATS JWT format
(github.com/nats-io/jwt, v2).
"""

import base64
import binascii
import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nkeys

from modelyard_eventlog import subjects

Claims = dict[str, Any]

ANSWER_TTL_NS = 300 * 1_000_000_000
"""How long after a question its answer may come; longer than any question waits."""

UNLIMITED_ACCOUNT = {
    "subs": -1,
    "data": -1,
    "payload": -1,
    "imports": -1,
    "exports": -1,
    "wildcards": True,
    "conn": -1,
    "leaf": -1,
}
JETSTREAM = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
UNLIMITED_USER = {"subs": -1, "data": -1, "payload": -1}


class BadPublicKey(Exception):
    """The text is not the public half of a user's nkey pair."""


@dataclass(frozen=True, slots=True)
class NatsKeys:
    """The seeds an installation is built on. Whoever holds `account_seed` can mint any user."""

    operator_seed: str
    account_seed: str
    system_account_seed: str


def new_keys() -> NatsKeys:
    return NatsKeys(
        operator_seed=_new_seed(nkeys.PREFIX_BYTE_OPERATOR),
        account_seed=_new_seed(nkeys.PREFIX_BYTE_ACCOUNT),
        system_account_seed=_new_seed(nkeys.PREFIX_BYTE_ACCOUNT),
    )


def new_user_seed() -> str:
    """The private half of a user's pair. It never leaves the process that made it."""
    return _new_seed(nkeys.PREFIX_BYTE_USER)


def public_key(seed: str) -> str:
    key: bytes = nkeys.from_seed(bytearray(seed.encode())).public_key
    return key.decode()


def server_config(
    keys: NatsKeys, *, host: str, port: int, store_dir: Path, more: tuple[str, ...] = ()
) -> str:
    """A nats-server configuration that admits this installation's users only; `more` are lines of it.

    `sync_interval: always` is what makes an acknowledged append survive a power loss.
    """
    account, system = public_key(keys.account_seed), public_key(keys.system_account_seed)
    return "\n".join(
        (
            f'listen: "{host}:{port}"',
            "jetstream {",
            f"  store_dir: {json.dumps(str(store_dir))}",
            "  sync_interval: always",
            "}",
            f"operator: {_operator_jwt(keys)}",
            f"system_account: {system}",
            "resolver: MEMORY",
            "resolver_preload {",
            f"  {account}: {_account_jwt(keys, keys.account_seed, 'modelyard', jetstream=True)}",
            f"  {system}: {_account_jwt(keys, keys.system_account_seed, 'SYS', jetstream=False)}",
            "}",
            *more,
            "",
        )
    )


def service_credentials(account_seed: str, name: str) -> str:
    """The text of a .creds file with every right on the account, for a service of the control plane."""
    seed = new_user_seed()
    nats = {"pub": {}, "sub": {}, **UNLIMITED_USER, "type": "user", "version": 2}
    return creds_text(_sign(account_seed, public_key(seed), name, nats), seed)


def worker_inbox_prefix(worker_id: int) -> str:
    """Where answers to this worker come in. It must connect with this prefix: it may read no other."""
    return f"_INBOX_w{worker_id}"


def mint_worker_jwt(account_seed: str, public_key: str, worker_id: int, expires_at: datetime) -> str:
    """A user JWT for the holder of `public_key` that reaches the subjects of one worker only.

    Raises `BadPublicKey`.
    """
    _check_user_key(public_key)
    name = f"worker-{worker_id}"
    nats = {**worker_permissions(worker_id), **UNLIMITED_USER, "type": "user", "version": 2}
    return _sign(account_seed, public_key, name, nats, expires_at=expires_at)


def worker_permissions(worker_id: int) -> Claims:
    """What a worker may publish and hear.

    Of JetStream it gets what reading its own wants takes. Consumer names are random and cannot be listed,
    so another worker's consumer cannot be pulled from.
    """
    desired = subjects.DESIRED
    return {
        "pub": {
            "allow": [
                f"obs.{worker_id}.>",
                subjects.heartbeat(worker_id),
                f"log.{worker_id}.>",
                f"$JS.API.CONSUMER.CREATE.{desired}.*.{subjects.wants_of(worker_id)}",
                f"$JS.API.CONSUMER.CREATE.{desired}.*.{subjects.file_wants_of(worker_id)}",
                f"$JS.API.CONSUMER.MSG.NEXT.{desired}.*",
            ]
        },
        "sub": {"allow": [subjects.question(worker_id, "*"), f"{worker_inbox_prefix(worker_id)}.>"]},
        "resp": {"max": 1, "ttl": ANSWER_TTL_NS},
    }


def creds_text(jwt: str, seed: str) -> str:
    """The text of a .creds file: keep it readable by its owner only."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def _new_seed(prefix: int) -> str:
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), prefix)
    return seed.decode()


def _operator_jwt(keys: NatsKeys) -> str:
    nats = {"system_account": public_key(keys.system_account_seed), "type": "operator", "version": 2}
    return _sign(keys.operator_seed, public_key(keys.operator_seed), "modelyard", nats)


def _account_jwt(keys: NatsKeys, seed: str, name: str, *, jetstream: bool) -> str:
    nats = {
        "limits": {**UNLIMITED_ACCOUNT, **(JETSTREAM if jetstream else {})},
        "default_permissions": {"pub": {}, "sub": {}},
        "type": "account",
        "version": 2,
    }
    return _sign(keys.operator_seed, public_key(seed), name, nats)


def _check_user_key(key: str) -> None:
    try:
        raw = base64.b32decode(key.encode())
    except (binascii.Error, UnicodeEncodeError) as error:
        raise BadPublicKey("the public key is not base32") from error
    if len(raw) != 35 or raw[0] != nkeys.PREFIX_BYTE_USER:
        raise BadPublicKey("the public key is not that of a NATS user")
    if nkeys.crc16(bytearray(raw[:33])).to_bytes(2, "little") != raw[33:]:
        raise BadPublicKey("the public key is damaged: its checksum does not match")


def _sign(
    issuer_seed: str, subject: str, name: str, nats: Claims, *, expires_at: datetime | None = None
) -> str:
    issuer = nkeys.from_seed(bytearray(issuer_seed.encode()))
    claims: Claims = {
        "iat": int(datetime.now(UTC).timestamp()),
        "iss": issuer.public_key.decode(),
        "name": name,
        "sub": subject,
        "nats": nats,
    }
    if expires_at is not None:
        claims["exp"] = int(expires_at.timestamp())
    digest = hashlib.sha256(_json({**claims, "jti": ""})).digest()
    claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
    signed = f"{_base64url(_json({'typ': 'JWT', 'alg': 'ed25519-nkey'}))}.{_base64url(_json(claims))}"
    return f"{signed}.{_base64url(issuer.sign(signed.encode()))}"


def _json(value: Claims) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
