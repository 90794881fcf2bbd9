"""Distributions as others make them: built into wheels, installed into a directory, used by a real `autohands`."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

SECONDS = 40


def build(project: Path, wheels: Path) -> Path:
    """Build the wheel of a project that lies in a directory of its own; nothing is downloaded."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    before = set(wheels.glob("*.whl"))
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = set(wheels.glob("*.whl")) - before
    return wheel


def install(site: Path, *wheels: Path) -> None:
    """Install wheels, and nothing they require, into the directory `site`."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    command += ["--disable-pip-version-check", "--target", str(site), *map(str, wheels)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def autohands(site: Path, workspace: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run `autohands` with `site` before all else that is installed: its status, output and errors."""
    async with asyncio.timeout(SECONDS):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "autohands", *arguments),
            cwd=workspace,
            env=os.environ | {"PYTHONPATH": str(site)} | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()
