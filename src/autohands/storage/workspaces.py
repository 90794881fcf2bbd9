"""Workspaces: a directory is a row, known by its canonical path."""

from __future__ import annotations

import stat
from pathlib import Path

from msgspec import Struct

from autohands.protocols.errors import BadRequest
from autohands.sdk.identity import new_id
from autohands.storage.transaction import Transaction


class Place(Struct, frozen=True):
    """A directory as it was found: canonical path, device and inode."""

    root: str
    device: str
    inode: str


def find_place(path: str) -> Place:
    """Look a directory up. Touches the disk.

    Raises:
        BadRequest: There is none.
    """
    try:
        root = Path(path).expanduser().resolve(strict=True)
        status = root.stat()
    except (OSError, RuntimeError, ValueError) as error:
        raise BadRequest(
            f"the workspace {path!r} cannot be used: {error}", hint="name a directory that exists"
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise BadRequest(f"the workspace {path!r} is no directory", hint="name a directory")
    return Place(str(root), str(status.st_dev), str(status.st_ino))


def keep(tx: Transaction, place: Place) -> str:
    """The id of a directory's row, made or brought up to date."""
    row = tx.connection.execute(
        "INSERT INTO workspace(id, root, device, inode, created) VALUES(?, ?, ?, ?, ?)"
        " ON CONFLICT(root) DO UPDATE SET device = excluded.device, inode = excluded.inode RETURNING id",
        (new_id("wsp"), place.root, place.device, place.inode, tx.now),
    ).fetchone()
    return str(row[0])
