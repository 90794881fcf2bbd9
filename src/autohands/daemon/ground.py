"""The files a program stands on: its database and its lock. Without them it must not accept anything more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from autohands.protocols.errors import StorageUnavailable

EVERY_SECONDS: Final = 5.0


class Ground:
    """Remembers which files they are. What is deleted can still be written to, and all of that is lost."""

    def __init__(self, *paths: Path, every_seconds: float = EVERY_SECONDS) -> None:
        self._files = {path: _identity(path) for path in paths}
        self._every_seconds = every_seconds

    async def watch(self) -> None:
        """Look every few seconds, until cancelled.

        Raises:
            StorageUnavailable: One has gone, or another file has taken its place.
        """
        while True:
            await asyncio.sleep(self._every_seconds)
            self.check()

    def check(self) -> None:
        """Look now. Raises as `watch` does."""
        for path, known in self._files.items():
            found = _identity(path)
            if found != known:
                what = "is gone" if found is None else "is another file now"
                raise StorageUnavailable(
                    f"{path} {what}: nothing more can be kept, so this program ends",
                    hint="look at what has become of the state directory, then start again",
                )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
