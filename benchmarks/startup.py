"""What a start costs: CPU of the whole process and modules loaded, for stages of DEPENDENCIES' budgets."""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

HEAVY = ("aiohttp", "click", "jsonschema", "msgspec", "prompt_toolkit", "rich", "sqlite3", "starlette")
COUNTED = """
import atexit, sys
atexit.register(lambda: print("\\nmodules", len(sys.modules), *sorted(set({heavy!r}) & set(sys.modules))))
"""
COMMAND = "from autohands.cli.main import main; sys.argv[1:] = [{argument!r}]; main()"
OPENED = """
import asyncio, autohands, sys
async def start():
    async with autohands.open(): pass
asyncio.run(start())
"""


@dataclass(frozen=True)
class Stage:
    """A start: the command that is timed, the same as code for counting, the budget in CPU ms."""

    name: str
    command: tuple[str, ...]
    code: str
    budget: float | None = None

    def cpu_ms(self, environment: dict[str, str]) -> float:
        """CPU of one run, in ms."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(self.command, env=environment, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3

    def modules(self, environment: dict[str, str]) -> tuple[int, list[str]]:
        """How many modules are loaded at the end, and which of the heavy ones."""
        command = [sys.executable, "-c", COUNTED.format(heavy=HEAVY) + self.code]
        output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        _, number, *heavy = output.splitlines()[-1].split()
        return int(number), heavy


def stages() -> list[Stage]:
    """The stages that are measured, the bare interpreter first."""
    program = str(Path(sys.executable).with_name("autohands"))
    return [
        Stage("python -c pass", (sys.executable, "-c", "pass"), ""),
        Stage("import autohands", (sys.executable, "-c", "import autohands"), "import autohands"),
        Stage("autohands --version", (program, "--version"), COMMAND.format(argument="--version"), 80),
        Stage("autohands --help", (program, "--help"), COMMAND.format(argument="--help"), 80),
        Stage("agent runtime ready", (sys.executable, "-c", OPENED), OPENED, 350),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a start costs.")
    parser.add_argument("--rounds", type=int, default=10, help="runs of each (%(default)s)")
    rounds = parser.parse_args().rounds
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {rounds} runs of each\n")
    print("| stage               | CPU ms, least | median | budget |      | modules | of them heavy")
    print("|---------------------|--------------:|-------:|-------:|------|--------:|--------------")
    with tempfile.TemporaryDirectory(prefix="autohands-bench-", dir="/var/tmp") as home:
        environment = {**os.environ, "AUTOHANDS_HOME": f"{home}/state"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for stage in stages():
            number, heavy = stage.modules(environment)
            times = [stage.cpu_ms(environment) for _ in range(rounds)]
            verdict = "" if stage.budget is None else "ok" if min(times) <= stage.budget else "MISS"
            budget = "" if stage.budget is None else f"{stage.budget:.0f}"
            print(
                f"| {stage.name:19} | {min(times):13.0f} | {median(times):6.0f} | {budget:>6} | {verdict:4} "
                f"| {number:7} | {' '.join(heavy)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
