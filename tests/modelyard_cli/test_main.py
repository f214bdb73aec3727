import subprocess
import sys

import pytest
from modelyard_cli.commands.services import SERVICES
from modelyard_cli.main import COMMANDS, EXIT_CODES, app_for
from typer.testing import CliRunner

HEAVY = ("sqlalchemy", "faststream", "nats", "huggingface_hub", "modelyard_models", "modelyard_placement")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "asyncapi"])
def test_every_command_has_help_with_its_own_options(name: str) -> None:
    shown = CliRunner().invoke(app_for(name), [name, "--help"])
    assert shown.exit_code == 0
    assert COMMANDS[name][1].split()[0] in shown.output


def test_the_help_names_all_commands_and_exit_codes() -> None:
    shown = CliRunner().invoke(app_for(""), ["--help"], terminal_width=200).output
    assert all(f" {name} " in shown for name in (*COMMANDS, *SERVICES))
    assert EXIT_CODES.split(";")[0] in shown


def test_the_version_is_an_option_too() -> None:
    option, command = (CliRunner().invoke(app_for(said), [said]).output for said in ("--version", "version"))
    assert option == command != ""


def test_no_more_is_loaded_than_the_called_command_needs() -> None:
    code = "import sys; from modelyard_cli.main import app_for; app_for('ls'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "modelyard_cli.commands.listing" in loaded
    assert [name for name in HEAVY if name in loaded] == []
