"""The kill switch: a file that says that nothing more may happen, until it is taken away."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

NAME = "STOP"
STOPPED = "everything is stopped ({said}); `autohands stop-all --clear` lets it go on"
MOST_BYTES = 400


class Switch:
    """The switch of a state directory. Whoever makes the file `STOP` there, by whatever means, has thrown it."""

    def __init__(self, home: Path) -> None:
        self.path = home / NAME

    @property
    def thrown(self) -> bool:
        """Whether it is thrown; also where nobody can tell."""
        try:
            os.lstat(self.path)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def reason(self) -> str | None:
        """Why nothing may happen, or None where it may."""
        if not self.thrown:
            return None
        try:
            said = self.path.read_bytes()[:MOST_BYTES].decode("utf-8", "replace").strip()
        except OSError:
            said = ""
        return STOPPED.format(said=said or f"there is a file {self.path}")

    def throw(self, by: str) -> None:
        """Throw it. One that is thrown stays as it is. Raises `OSError`."""
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return
        with os.fdopen(descriptor, "w") as file:
            file.write(f"by {by}, {datetime.now(UTC).isoformat(timespec='seconds')}\n")
            file.flush()
            os.fsync(descriptor)

    def clear(self) -> bool:
        """Let things happen again. Whether it was thrown. Raises `OSError`."""
        thrown = self.thrown
        self.path.unlink(missing_ok=True)
        return thrown
