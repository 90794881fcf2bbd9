"""The test kit is used by tests; the product itself does not load pytest."""

import subprocess
import sys


def test_the_kit_without_the_contracts_needs_no_pytest() -> None:
    code = (
        "import sys, autohands.testing, autohands.testing.channel, autohands.testing.memory, autohands.testing.host\n"
    )
    code += "import autohands, autohands.sdk; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert "pytest" not in done.stdout.split()
