"""The two doors: their names are pinned, and going through them loads nothing heavy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PINNED = Path(__file__).parent / "public_names.txt"
MOST_NAMES = 25
HEAVY = {"aiohttp", "starlette", "rich", "prompt_toolkit", "playwright", "mcp", "sqlite3", "click", "textual"}
NOT_AT_START = {"click", "jsonschema", "prompt_toolkit", "rich", "starlette", "tomlkit"}

# How many modules a start may load on top of a bare interpreter's: a count does not depend on the machine's load.
MODULES_OF_VERSION = 100
MODULES_OF_START = 520

COMMAND = """
import sys
from autohands.cli.main import main
sys.argv = ["autohands", "{}"]
try:
    main()
except SystemExit as end:
    assert not end.code, end
"""
START = """
import asyncio, autohands
async def start():
    async with autohands.open(home={!r}, workspace={!r}):
        pass
asyncio.run(start())
"""


def python(code: str) -> str:
    """What a fresh interpreter prints for `code`, without coverage, which would load modules of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(code: str) -> set[str]:
    """The modules that `code` loads on top of those of a bare interpreter."""
    show = "import sys; print(*sys.modules)"
    return set(python(f"{code}\n{show}").splitlines()[-1].split()) - set(python(show).split())


def pinned(door: str) -> list[str]:
    """The names listed under `[door]` in public_names.txt."""
    section = PINNED.read_text().partition(f"[{door}]\n")[2].partition("\n[")[0]
    return section.split()


@pytest.mark.parametrize("door", ["autohands", "autohands.sdk"])
def test_the_public_names_are_pinned(door: str) -> None:
    show = f"import {door} as door; [getattr(door, name) for name in door.__all__]; print(*door.__all__)"
    names = python(show).split()
    assert sorted(names) == sorted(pinned(door)), f"if that is meant, list them in {PINNED.name} and CHANGELOG.md"
    assert len(names) == len(set(names)) <= MOST_NAMES


@pytest.mark.parametrize("door", ["autohands", "autohands.sdk"])
def test_a_door_loads_nothing_heavy(door: str) -> None:
    assert {name.partition(".")[0] for name in loaded_by(f"import {door}")} & HEAVY == set()


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_a_short_answer_loads_little(flag: str) -> None:
    loaded = loaded_by(COMMAND.format(flag))
    assert {name.partition(".")[0] for name in loaded} & (HEAVY - {"click"}) == set()
    assert len(loaded) <= MODULES_OF_VERSION


def test_a_start_loads_what_the_runtime_needs_and_no_more(home: Path, workspace: Path) -> None:
    loaded = loaded_by(START.format(str(home), str(workspace)))
    assert {name.partition(".")[0] for name in loaded} & NOT_AT_START == set()
    assert len(loaded) <= MODULES_OF_START


def test_a_heavy_import_is_seen() -> None:
    assert "sqlite3" in loaded_by("import sqlite3")


def test_importing_reads_no_environment_and_starts_no_thread() -> None:
    code = "import os, threading; os.environ = None; import autohands, autohands.sdk; print(threading.active_count())"
    assert python(code).strip() == "1"
