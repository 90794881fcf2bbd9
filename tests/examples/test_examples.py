"""Each example does what its first lines promise, as a person would run it, without a key."""

import subprocess
import sys
from pathlib import Path

import pytest

from architecture.source import ROOT

PROMISED = {
    "01_hello.py": ["· write_file haiku.txt", "[done after 2 turns]", "nothing lost, none twice."],
    "02_tool.py": ['"characters":24', "no_such_line", "Line 2 is the longest"],
    "03_provider.py": ["It has 10 words.", "I can only count the words of text files."],
    "04_resume.py": ["write_file done; closing now", "resuming a task", "done: Write 1", "model calls: 4"],
    "05_approvals.py": ["write_file (idempotent): yes", "exec (irreversible): no", "first line: # Notes"],
}


def test_every_example_is_known() -> None:
    assert {path.name for path in ROOT.glob("examples/*.py")} == set(PROMISED)


@pytest.mark.parametrize("name", PROMISED)
def test_an_example_keeps_its_promise(name: str, home: Path, workspace: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / name)]
    done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 0, done.stderr
    assert [line for line in PROMISED[name] if line not in done.stdout] == [], done.stdout
    assert list(home.iterdir()) + list(workspace.iterdir()) == []
