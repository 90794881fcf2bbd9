"""Reads a configuration file: bounded UTF-8 TOML that nobody else can change, or a message that names the line."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

from msgspec import Struct

from autohands.config.lines import LineIndex
from autohands.protocols.errors import ConfigError

_MOST_BYTES = 1 << 20
_PLACE = r"(?s)(.*) \(at (?:line (\d+), column (\d+)|end of document)\)"
_TWICE = ("Cannot overwrite a value", "Cannot declare", "Duplicate", "Cannot mutate", "Cannot redefine")


class ConfigFile(Struct, frozen=True):
    """A file that parses: its tables, and where its keys stand."""

    path: Path
    table: dict[str, Any]
    lines: LineIndex


def read_file(path: Path) -> ConfigFile:
    """Read and parse a file.

    Raises:
        ConfigError: It is missing, unreadable, not a regular file, too large, not UTF-8 or not TOML, or others than its
            owner may write it.
    """
    return parse(path, _read(path))


def parse(path: Path, data: bytes) -> ConfigFile:
    """Parse a document; `path` is for messages. Raises `ConfigError`."""
    import tomllib

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte {data[error.start]:#04x} is not UTF-8; is this a text file?"
        raise ConfigError(f"{path}:{line}: {what}") from None
    text = text.replace("\r\n", "\n")
    try:
        return ConfigFile(path, tomllib.loads(text), LineIndex(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}:{_explain(str(error), text)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: lists and tables are nested too deep") from None


def check_owner(path: Path, found: os.stat_result) -> None:
    """Refuse what others could have written.

    Raises:
        ConfigError: It belongs to another user, or its group or everybody may write it.
    """
    if found.st_uid not in (0, os.geteuid()):
        hint = f"chown {os.geteuid()} {path}"
        raise ConfigError(f"{path}: belongs to another user (uid {found.st_uid}): {hint}", hint=hint)
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        who = "everybody" if found.st_mode & stat.S_IWOTH else "its group"
        hint = f"chmod go-w {path}"
        raise ConfigError(f"{path}: {who} may write it (mode {stat.S_IMODE(found.st_mode):04o}): {hint}", hint=hint)


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        where = f" (a symlink to {path.readlink()})" if path.is_symlink() else ""
        hint = "check its owner and permissions" if isinstance(error, PermissionError) else None
        raise ConfigError(f"{path}{where}: cannot be read: {error.strerror}", hint=hint) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path}: not a regular file")
        check_owner(path, found)
        if found.st_size > _MOST_BYTES:
            raise ConfigError(f"{path}: {found.st_size:,} bytes long; at most {_MOST_BYTES:,}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(_MOST_BYTES)
    finally:
        os.close(descriptor)


def _explain(message: str, text: str) -> str:
    """`line: what is wrong`, for a key that is set twice with its name and both lines."""
    found = re.fullmatch(_PLACE, message)
    line = int(found[2]) if found and found[2] else text.count("\n") + 1
    what = found[1] if found else message
    again = LineIndex(text).again
    if again and what.startswith(_TWICE):
        key, first, line = again[0]
        what = f"{key} is set again; it is set in line {first} already"
    column = f", column {found[3]}" if found and found[3] and not what.endswith("already") else ""
    return f"{line}: {what}{column}"
