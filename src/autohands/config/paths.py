"""The state directory: where things are, made for its owner's eyes only, and refused where others could change it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from autohands.config.file import check_owner
from autohands.protocols.errors import ConfigError

HOME_VARIABLE = "AUTOHANDS_HOME"


class Paths(Struct, frozen=True):
    """Where things are beneath a state directory."""

    home: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.home / "config.toml"

    @property
    def database(self) -> Path:
        """The database, beside it its write-ahead log."""
        return self.home / "autohands.db"

    @property
    def state(self) -> Path:
        """A directory for each extension's own files."""
        return self.home / "state"

    @property
    def extensions(self) -> Path:
        """Extensions in folders."""
        return self.home / "extensions"

    @property
    def agents(self) -> Path:
        """Agents as Markdown files."""
        return self.home / "agents"

    @property
    def run(self) -> Path:
        """What concerns the program that serves now: its lock, what its sentinel has found."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """What programs write about themselves."""
        return self.home / "logs"


def home_directory(environ: Mapping[str, str]) -> Path:
    """The state directory that is meant: AUTOHANDS_HOME, else `~/.autohands`. Nothing is made or read."""
    named = environ.get(HOME_VARIABLE) or "~/.autohands"
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"{HOME_VARIABLE}: {named}: {error}") from None


def prepare_home(home: Path) -> Paths:
    """Make the state directory (0700, whatever the umask), or check the one that is there.

    Raises:
        ConfigError: It, or something right beneath it, belongs to another user or may be written by others; the text
            says what to do. It cannot be made.
    """
    try:
        private_directory(home)
        check_owner(home, home.stat())
        for path in home.iterdir():
            if not path.is_symlink():
                check_owner(path, path.stat())
    except OSError as error:
        hint = f"set {HOME_VARIABLE} to a directory of your own"
        raise ConfigError(f"{error.filename or home}: {error.strerror}; {hint}", hint=hint) from None
    return Paths(home)


def private_directory(path: Path) -> None:
    """Make a directory and those above it, each 0700; one that exists stays as it is."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        each.chmod(0o700)
    if not path.is_dir():
        raise NotADirectoryError(20, "is not a directory", str(path))


def write_private(path: Path, data: bytes) -> None:
    """Replace a file, 0600 whatever the umask: after a crash there is the old one or the new, never a mixture.

    A symlink stays one; what it points to is replaced.
    """
    target = path.resolve()
    private_directory(target.parent)
    fresh = target.with_name(f".{target.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
