"""The state directory: one identity, one agent."""

import subprocess
import sys
from pathlib import Path

import pytest
from modelyard_worker_agent.adapters.identity import IdentityFiles, StateInUse, held


def test_an_identity_is_made_once_and_kept_private(tmp_path: Path) -> None:
    first = IdentityFiles(tmp_path).identity()
    assert IdentityFiles(tmp_path).identity() == first
    assert (tmp_path / "identity.json").stat().st_mode & 0o777 == 0o600
    assert first.public_key.startswith("U")
    assert first.seed not in first.public_key


def test_a_damaged_answer_of_a_join_is_as_good_as_none(tmp_path: Path) -> None:
    files = IdentityFiles(tmp_path)
    assert files.joined() is None
    (tmp_path / "joined.json").write_text('{"worker_id": 1')
    assert files.joined() is None


def test_a_second_agent_on_the_same_directory_is_told_who_has_it(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys; from pathlib import Path\n"
            "from modelyard_worker_agent.adapters.identity import held\n"
            "with held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        with pytest.raises(StateInUse, match=f"process {holder.pid}"), held(tmp_path):
            pass
        holder.stdin.close()
    with held(tmp_path):
        pass
