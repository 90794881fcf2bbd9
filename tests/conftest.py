"""What every test may use: a state directory and a workspace of its own, and a mark for programs it needs."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("loaded-machine", deadline=None)
settings.load_profile("loaded-machine")

VENDOR_PREFIXES = ("OPENAI_", "ANTHROPIC_", "GEMINI_", "ARK_", "LOCAL_BASE_URL", "AUTOHANDS_")
LINUX_ONLY = {"strace"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `needs("strace")` where the program is missing; with CI=true that is a failure."""
    for program in [name for mark in item.iter_markers("needs") for name in mark.args]:
        if program in LINUX_ONLY and sys.platform != "linux":
            pytest.skip(f"{program} exists on Linux only")
        if shutil.which(program) is None:
            give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            give_up(f"{program} is not installed; `make system` installs it")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh state directory in AUTOHANDS_HOME, and an environment that knows no vendor's key."""
    for name in [name for name in os.environ if name.startswith(VENDOR_PREFIXES)]:
        monkeypatch.delenv(name)
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("AUTOHANDS_HOME", str(path))
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty directory for an agent to work in."""
    path = tmp_path / "workspace"
    path.mkdir()
    return path
