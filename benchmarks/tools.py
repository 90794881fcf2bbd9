"""What tools cost: the tail of a large file, grep beside `rg`, exec beside `subprocess.run`."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

import psutil

from autohands.core.workspace import LocalWorkspace
from autohands.extensions.tools_filesystem.read_file import read_file
from autohands.extensions.tools_search.glob import glob
from autohands.extensions.tools_search.grep import grep
from autohands.extensions.tools_search.ripgrep import executable
from autohands.extensions.tools_shell.exec import exec_
from autohands.protocols.process import JobRow, Jobs
from autohands.sandbox.jobs import JobTable
from autohands.sandbox.spawn import Spawner
from autohands.sdk import ToolContext
from autohands.sdk.tool import FunctionTool

GIB = 1 << 30
SEARCHES: dict[str, tuple[FunctionTool, dict[str, Any], tuple[str, ...]]] = {
    "grep, no match": (grep, {"pattern": "nowhere"}, ("--line-number", "nowhere")),
    "grep, 2,000 lines": (grep, {"pattern": "needle"}, ("--line-number", "needle")),
    "grep, 17,000 lines": (grep, {"pattern": "w00a[0-3]"}, ("--line-number", "w00a[0-3]")),
    "grep, files": (grep, {"pattern": "w0001", "output": "files"}, ("--files-with-matches", "w0001")),
    "grep, counts": (grep, {"pattern": "w0001", "output": "count"}, ("--count", "w0001")),
    "glob **/*.py": (glob, {"pattern": "**/*.py"}, ("--files", "--glob=**/*.py")),
}


@dataclass
class Context:
    """The part of a `ToolContext` that these tools use."""

    workspace: LocalWorkspace
    spawn: Spawner
    jobs: Jobs
    data: dict[str, Any] = field(default_factory=dict)

    def progress(self, text: str) -> None:
        """Nobody watches."""


class Rows:
    """Job rows that nobody will ask for."""

    async def save_job(self, row: JobRow) -> None:
        """Forget it."""

    async def jobs(self, session: str | None = None) -> list[JobRow]:
        """None."""
        return []


@dataclass
class Cost:
    """Seconds on the clock and of CPU, one pair for each round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def of(self, action: Callable[[], Awaitable[object]], repeats: int = 1) -> None:
        """Measure one round of an action, all processes that it uses included."""
        cpu, wall = cpu_seconds(), time.perf_counter()
        for _ in range(repeats):
            await action()
        self.wall.append((time.perf_counter() - wall) / repeats)
        self.cpu.append((cpu_seconds() - cpu) / repeats)


def cpu_seconds() -> float:
    """CPU of this process, and of all that it or its supervisors have started."""
    spent = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    own = sum(each.ru_utime + each.ru_stime for each in spent)
    living = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return own + sum(sum(times[:4]) for times in living)


def ratio(ours: list[float], theirs: list[float]) -> str:
    """The median of the rounds' ratios, with the least and the greatest."""
    ratios = [one / max(other, 1e-9) for one, other in zip(ours, theirs, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def print_row(*cells: str) -> None:
    """A row of a table, first cell to the left."""
    print(f"{cells[0]:24}" + "".join(f"{cell:>20}" for cell in cells[1:]))


async def compare(
    name: str, ours: Callable[[], Awaitable[object]], command: list[str], rounds: int, repeats: int
) -> None:
    """One row: ours beside a command run by `subprocess.run`, in alternating rounds."""

    async def plain() -> None:
        subprocess.run(command, capture_output=True, check=False)

    mine, theirs = Cost(), Cost()
    await ours()
    for number in range(rounds):
        pair = [(mine, ours), (theirs, plain)]
        for cost, action in pair if number % 2 else reversed(pair):
            await cost.of(action, repeats)
    walls = f"{median(mine.wall) * 1e3:.2f} / {median(theirs.wall) * 1e3:.2f} ms"
    print_row(name, walls, ratio(mine.wall, theirs.wall), ratio(mine.cpu, theirs.cpu))


def plant(root: Path, files: int) -> None:
    """A tree of source-like files, 80 lines each; one in ten holds a needle."""
    chance = random.Random(1)
    words = [f"w{number:04x}" for number in range(3_000)]
    (root / ".git").mkdir()
    (root / ".gitignore").write_text("*.log\nbuild/\n")
    for number in range(files):
        place = root / f"package{number % 20}" / f"module{number // 50}"
        place.mkdir(parents=True, exist_ok=True)
        lines = [" ".join(chance.choices(words, k=8)) for _ in range(80)]
        if number % 10 == 0:
            lines[number % 80] = "the needle is here"
        (place / f"file{number}.{('py', 'ts', 'md')[number % 3]}").write_text("\n".join(lines))


async def call(ctx: ToolContext, tool: FunctionTool, arguments: dict[str, Any]) -> None:
    """Call a tool as the runtime does."""
    await tool.run(ctx, tool.validate(arguments))


async def search(ctx: ToolContext, root: Path, rounds: int) -> None:
    """grep and glob beside ripgrep's own output for the same question."""
    print_row("20,000 files, 80 MB", "ours / rg", "wall ratio", "CPU ratio")
    for name, (tool, arguments, options) in SEARCHES.items():
        command = ["sh", "-c", 'cd "$0" && exec "$@"', str(root), executable(), *options, "./"]
        await compare(name, partial(call, ctx, tool, arguments), command, rounds, 2)


async def execution(ctx: ToolContext, rounds: int) -> None:
    """exec beside `subprocess.run(capture_output=True)`, with the same shell."""
    print_row("commands", "ours / subprocess", "wall ratio", "CPU ratio")
    shell = shutil.which("bash") or "/bin/sh"
    for name, script, repeats in (
        ("true", "true", 50),
        ("echo", "echo hello", 50),
        ("seq 1 10000", "seq 1 10000", 20),
        ("100 MB of output", "head -c 100000000 /dev/zero", 1),
    ):
        await compare(name, partial(call, ctx, exec_, {"command": script}), [shell, "-c", script], rounds, repeats)


async def large_file(ctx: ToolContext, root: Path) -> None:
    """The last lines of a file of 1 GB, and how much memory that takes."""
    line = b"one line of a log that has grown for a long time without anybody looking at it\n"
    block = line * (1 << 20 // len(line) + 8)
    with (root / "large.log").open("wb") as file:
        while file.tell() < GIB:
            file.write(block)
        file.write(b"the last line\n")
    print_row("a file of 1 GB", "wall", "peak memory", "")
    for name, offset in (("its last 20 lines", -20), ("its first 20 lines", 1), ("line 1,000,000 on", 1_000_000)):
        before, began = peak_mib(), time.perf_counter()
        await call(ctx, read_file, {"path": "large.log", "offset": offset, "limit": 20})
        print_row(name, f"{(time.perf_counter() - began) * 1e3:.0f} ms", f"+{peak_mib() - before:.1f} MiB", "")


def peak_mib() -> float:
    """The most memory that this process has had."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


async def measure(folder: Path, rounds: int) -> None:
    """Print all tables."""
    workspace = folder / "workspace"
    workspace.mkdir()
    plant(workspace, 20_000)
    with ThreadPoolExecutor(4) as threads:
        files = LocalWorkspace(str(workspace), threads)
        async with Spawner(folder) as spawn, JobTable(spawn, Rows()) as table:
            ctx = cast("ToolContext", Context(files, spawn, table.of("benchmark")))
            await large_file(ctx, workspace)
            print()
            await search(ctx, workspace, rounds)
            print()
            await execution(ctx, rounds)
        files.close()


def main() -> None:
    """Measure in a fresh folder and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), rounds))


if __name__ == "__main__":
    main()
