"""The generated reference says what the program says."""

import shutil
import subprocess
import sys
from pathlib import Path

from architecture.source import ROOT

REFERENCE = ROOT / "docs" / "reference"


def check(generate: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(generate), "--check"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_the_reference_is_up_to_date() -> None:
    done = check(REFERENCE / "generate.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_page_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(REFERENCE, tmp_path, dirs_exist_ok=True)
    (tmp_path / "events.md").write_text("# Events\n")
    done = check(tmp_path / "generate.py")
    assert (done.returncode, done.stdout) == (1, "events.md is stale: run docs/reference/generate.py\n")
