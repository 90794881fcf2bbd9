"""Break every import contract once, in a copy of the source, and show that lint-imports says so.

Usage: break_contracts.py. Exits with 1 where a contract stays kept though it is broken, or where one has no break here.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINT = Path(sys.executable).with_name("lint-imports")

# A contract with exceptions ends with their number: "neighbours: … KEPT (5 ignored imports)".
VERDICT = re.compile(r"^(\w+):.* (KEPT|BROKEN)(?: \(.*\))?$", re.MULTILINE)

# contract, up to its colon → (file to spoil, what is written at its end)
BREAKS = {
    "layers": [
        ("sdk/__init__.py", "import autohands.app"),
        ("runtime/__init__.py", "import autohands.runloop"),
        ("stray.py", '"""A module that no layer names."""'),
    ],
    "app": [("cli/__init__.py", "import autohands.storage"), ("bridge.py", "import autohands.sandbox")],
    "doors": [("app.py", "import autohands.extensions.tools_shell")],
    "extensions": [("extensions/tools_shell/__init__.py", "import autohands.core")],
    "neighbours": [
        ("extensions/tools_shell/__init__.py", "import autohands.extensions.tools_search"),
        ("extensions/provider_openai/__init__.py", "import autohands.extensions.provider_ark"),
        ("extensions/provider_local/__init__.py", "import autohands.extensions.provider_ark"),
        ("extensions/provider_anthropic/__init__.py", "import autohands.extensions.provider_openai"),
    ],
    "protocols": [("protocols/__init__.py", "import aiohttp"), ("protocols/task.py", "import sqlite3")],
}


def verdicts(source: Path) -> dict[str, str]:
    """What lint-imports says of each contract, KEPT or BROKEN, for the package beneath `source`."""
    command = [str(LINT), "--no-logo", "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    environment = os.environ | {"PYTHONPATH": str(source), "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, timeout=60, check=False)
    found = {match[1]: match[2] for match in VERDICT.finditer(done.stdout)}
    if not found:
        raise SystemExit(f"lint-imports judged nothing:\n{done.stdout}{done.stderr}")
    return found


def spoilt(source: Path, path: str, line: str) -> dict[str, str]:
    """The verdicts with `line` written at the end of one file, which is then restored."""
    file = source / "autohands" / path
    before = file.read_text() if file.exists() else None
    file.write_text(f"{before or ''}\n{line}\n")
    try:
        return verdicts(source)
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)


def main() -> int:
    """Print one line for each break; return how many were not noticed."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    names = {contract["name"].partition(":")[0] for contract in contracts}
    unnoticed = len(names ^ BREAKS.keys())
    for name in sorted(names ^ BREAKS.keys()):
        print(f"{name}: a contract without a break, or a break without a contract")
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory)
        shutil.copytree(ROOT / "src" / "autohands", source / "autohands", ignore=shutil.ignore_patterns("__pycache__"))
        untouched = sorted(names - {name for name, verdict in verdicts(source).items() if verdict == "KEPT"})
        print(f"{'untouched':<102}{'BROKEN: ' + ', '.join(untouched) if untouched else 'KEPT'}")
        unnoticed += len(untouched)
        for name, path, line in [(name, *place) for name, places in BREAKS.items() for place in places]:
            verdict = spoilt(source, path, line)[name]
            unnoticed += verdict != "BROKEN"
            print(f"{name:<12}{path + ' + ' + line:<90}{verdict}")
    return min(unnoticed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
