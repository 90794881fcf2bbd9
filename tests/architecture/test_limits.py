"""The tail stays short: lines of a file and of a function, branches, parameters."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from architecture.source import SOURCE, Function, excused, modules, named

FILE_LINES = 400
FUNCTION_LINES = 40
RULES = {"complexity": ("C901", "lint.mccabe.max-complexity=8"), "parameters": ("PLR0913", "lint.pylint.max-args=6")}


def long_files(root: Path) -> set[str]:
    return {path for path in modules(root) if len((root / path).read_text().splitlines()) > FILE_LINES}


def long_functions(root: Path) -> set[str]:
    return {
        f"{path}::{name}"
        for path, tree in modules(root).items()
        for name, node in named(tree)
        if isinstance(node, Function) and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    }


def beyond(limit: str, root: Path) -> set[str]:
    """What ruff finds beyond a limit, with every `noqa` ignored."""
    rule, setting = RULES[limit]
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--ignore-noqa", "--exit-zero"]
    command += ["--select", rule, "--config", setting, "--output-format", "json", str(root)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)
    places = [(Path(entry["filename"]).relative_to(root).as_posix(), entry["location"]["row"]) for entry in found]
    return {f"{path}::{function_at(root, path, row)}" for path, row in places}


def function_at(root: Path, path: str, row: int) -> str:
    return next(name for name, node in named(modules(root)[path]) if isinstance(node, Function) and node.lineno == row)


def test_files_have_at_most_400_lines() -> None:
    assert long_files(SOURCE) == excused("file_lines")


def test_functions_have_at_most_40_lines() -> None:
    assert long_functions(SOURCE) == excused("function_lines")


@pytest.mark.parametrize("limit", RULES)
def test_functions_keep_the_limit_of(limit: str) -> None:
    assert beyond(limit, SOURCE) == excused(limit)


def test_the_limits_are_seen_to_fail(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("def long(x):\n" + "    x += 1\n" * FUNCTION_LINES + "y = 1\n" * FILE_LINES)
    branches = "".join(f"    if x == {number}:\n        return {number}\n" for number in range(8))
    (tmp_path / "tangled.py").write_text(f"def tangled(x):  # noqa: C901\n{branches}    return x\n")
    (tmp_path / "wide.py").write_text("class A:\n    def wide(self, a, b, c, d, e, f, *, g): ...\n")
    assert long_files(tmp_path) == {"long.py"}
    assert long_functions(tmp_path) == {"long.py::long"}
    assert beyond("complexity", tmp_path) == {"tangled.py::tangled"}
    assert beyond("parameters", tmp_path) == {"wide.py::A.wide"}
