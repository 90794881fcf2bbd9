"""The import contracts of pyproject.toml: each one notices when it is broken, and they cover every package."""

import subprocess
import sys
import tomllib

from architecture.source import ROOT, packages


def test_each_contract_notices_when_it_is_broken() -> None:
    command = [sys.executable, str(ROOT / "tools" / "break_contracts.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_extensions_may_import_no_package_but_sdk_and_protocols() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    contract = next(contract for contract in contracts if contract["name"].startswith("extensions:"))
    top = {package for package in packages() if "/" not in package} | {"app", "bridge", "hands"}
    assert set(contract["forbidden_modules"]) == {
        f"autohands.{name}" for name in top - {"sdk", "protocols", "extensions"}
    }
