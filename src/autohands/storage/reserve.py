"""Room set aside on the disk, so that what must be recorded still can be when there is none left."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from autohands.protocols.changes import Change, Finish, Park
from autohands.storage.transaction import Unit

MOST_BYTES: Final = 1 << 20
_SHARE: Final = 16


def must_be_recorded(unit: Unit[Any]) -> bool:
    """Whether a unit ends or parks a run: what has happened must be on record, even where there is no room."""
    changes: Sequence[Change] = getattr(unit, "changes", ())
    return any(isinstance(change, Finish | Park) for change in changes)


class Reserve:
    """A file of a megabyte (on a very small disk a sixteenth of it) that is given up when the disk is full.

    While it is `given_up`, only what must be recorded may be written, until there is room again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.given_up = False

    def make(self) -> bool:
        """Set the room aside, if there is enough to do so. Returns whether there is."""
        try:
            disk = shutil.disk_usage(self._path.parent)
            size = min(MOST_BYTES, disk.total // _SHARE)
            if disk.free < 2 * size:
                return False
            if not self._path.exists():
                self._fill(size)
        except OSError:
            return False
        return True

    def _fill(self, size: int) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:
                os.write(descriptor, bytes(size))
        except OSError:
            self._path.unlink()
            raise
        finally:
            os.close(descriptor)

    def give_up(self) -> None:
        """Free the room: the disk is full."""
        self.given_up = True
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def is_regained(self) -> bool:
        """Whether there is room for everybody again; then it is set aside anew."""
        self.given_up = not self.make()
        return not self.given_up
