"""Bytes by content: one file for each, named by its SHA-256, and a row that says it is whole."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from autohands.protocols.errors import NotFound, StorageUnavailable
from autohands.protocols.messages import BlobRef
from autohands.sdk.failpoint import failpoint
from autohands.storage.database import Database
from autohands.storage.files import private_directory, sync_directory, write_whole
from autohands.storage.transaction import Transaction

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """Stores bytes in `folder/ab/abcdef…`."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._database = database

    async def put(self, data: bytes, mime: str) -> BlobRef:
        """Store bytes; the same bytes are stored once. Durable when it returns.

        Raises:
            StorageUnavailable: The disk refuses.
        """
        digest = await asyncio.to_thread(self._keep, data)
        failpoint("blobs.kept")
        ref = BlobRef(digest, mime, len(data))

        def row(tx: Transaction) -> None:
            self._keep(data, digest)  # retention may have deleted it meanwhile
            tx.connection.execute(
                "INSERT INTO blob(sha256, mime, size, created) VALUES(?, ?, ?, ?)"
                " ON CONFLICT(sha256) DO UPDATE SET created = excluded.created",
                (ref.sha256, ref.mime, ref.size, tx.now),
            )

        await self._database.write(row)
        return ref

    async def get(self, ref: BlobRef) -> bytes:
        """The bytes of a reference.

        Raises:
            NotFound: They are gone, or were never stored.
        """
        if not _DIGEST.fullmatch(ref.sha256):
            raise NotFound(f"{ref.sha256[:80]!r} is no digest")
        try:
            return await asyncio.to_thread(self._path(ref.sha256).read_bytes)
        except FileNotFoundError:
            raise NotFound(f"the content {ref.sha256} is gone") from None

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest

    def discard(self, tx: Transaction, digests: Sequence[str], before: int) -> int:
        """Delete those of some blobs that were last stored before a time (UTC ms); how many."""
        gone = 0
        for digest in digests:
            found = tx.connection.execute("DELETE FROM blob WHERE sha256 = ? AND created < ?", (digest, before))
            if found.rowcount:
                gone += 1
                with contextlib.suppress(OSError):  # one that is left behind takes room, and does no harm
                    self._path(digest).unlink(missing_ok=True)
        return gone

    def _keep(self, data: bytes, digest: str = "") -> str:
        digest = digest or hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            if not (path.exists() and path.stat().st_size == len(data)):
                self._make_folder(path.parent)
                write_whole(path, data)
        except OSError as error:
            raise StorageUnavailable(
                f"{path}: cannot be written ({error})", hint="free some space, look at the owner and the mode"
            ) from error
        return digest

    def _make_folder(self, path: Path) -> None:
        for folder in (self._folder, path):
            if not folder.exists():
                private_directory(folder)
                sync_directory(folder.parent)
