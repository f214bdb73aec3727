import socket
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import free_port
from modelyard_cli.embedded import requirements
from modelyard_cli.embedded.options import UpOptions
from modelyard_cli.errors import UsageError


def options(tmp_path: Path, **ports: int) -> UpOptions:
    free = UpOptions(tmp_path, api_port=free_port(), gateway_port=free_port(), nats_port=free_port())
    return replace(free, **ports)  # type: ignore[arg-type]


def test_all_is_here(tmp_path: Path) -> None:
    requirements.check_modules(worker=True)
    requirements.check_ports(options(tmp_path))


@pytest.mark.parametrize("field", ["api_port", "gateway_port", "nats_port"])
def test_a_busy_port_is_named_with_its_flag(tmp_path: Path, field: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"Port {port}.* in use by another program") as refusal:
            requirements.check_ports(options(tmp_path, **{field: port}))
    assert refusal.value.hint == f"Give another one with --{field.replace('_', '-')}."
    assert refusal.value.exit_code == 2


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(requirements.WORKER_MODULES, "no_such_module", "llama-cpp")
    with pytest.raises(UsageError, match=r"package is missing: no_such_module\.") as refusal:
        requirements.check_modules(worker=True)
    assert refusal.value.hint == "Install what is needed with: pip install 'modelyard[llama-cpp]'"
    requirements.check_modules(worker=False)
