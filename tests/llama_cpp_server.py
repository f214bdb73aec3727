"""The llama.cpp server that is installed, started on a file: what it logs of its buffers.

python llama_cpp_server.py FILE '{"n_ctx": 4096}'     the names are those of `xllamacpp.CommonParams`
"""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import xllamacpp

SAYS_BUFFERS = 5
BUFFER = re.compile(r"(\S+) +(model|KV|RS|compute|output) buffer size = +([\d.]+) MiB")
LISTENS = "listening on http"
KINDS = {"KV": "context", "RS": "context"}


def buffers_mib(file: Path, **parameters: Any) -> dict[str, dict[str, float]]:
    """By buffer type (`CPU`, `CPU_Mapped`, `CPU_REPACK`) and kind, in MiB with two decimals."""
    asked = [sys.executable, __file__, str(file), json.dumps(parameters)]
    said = ""
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            said += line
            if LISTENS in line:  # a thread writes its log in order: all of the buffers is there
                break
        server.kill()
    assert LISTENS in said, said[-3000:]
    found: dict[str, dict[str, float]] = {}
    for name, said_kind, size in BUFFER.findall(said):
        kind = KINDS.get(said_kind, said_kind)
        sizes = found.setdefault(name, {})
        sizes[kind] = round(sizes.get(kind, 0.0) + float(size), 2)
    return found


def _serve(file: str, parameters: dict[str, Any]) -> None:
    made = xllamacpp.CommonParams()
    made.model.path = file
    made.hostnames = ["127.0.0.1"]
    made.port = 0
    made.ui = False
    made.warmup = False
    made.fit_params = False
    made.cache_ram_mib = 0
    made.verbosity = SAYS_BUFFERS
    for name, value in parameters.items():
        setattr(made, name, value)
    _server = xllamacpp.Server(made)
    signal.pause()


if __name__ == "__main__":
    _serve(sys.argv[1], json.loads(sys.argv[2]))
