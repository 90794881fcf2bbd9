"""Queries: two threads with connections of their own that can only read."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from autohands.protocols.errors import BadRequest, StorageUnavailable
from autohands.storage.connection import connect, is_damage, is_writable, unavailable

T = TypeVar("T")

READERS: Final = 2
NO_TEXT: Final = "some of it is not valid Unicode text"


class Readers:
    """Runs queries beside the event loop and beside the writer. `damaged` is called where the file is found damaged.

    Queries begin while the `gate` is set.
    """

    def __init__(self, path: Path, damaged: Callable[[], None], gate: threading.Event) -> None:
        self._path = path
        self._gate = gate
        self._damaged = damaged
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="autohands-reader")
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """The query's result, from one snapshot of what is committed.

        Raises:
            StorageUnavailable: The file cannot be read. BadRequest: What is looked for cannot be there.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query)

    async def call(self, function: Callable[[], T]) -> T:
        """Run something that reads files, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def close(self) -> None:
        """Wait for running queries and close the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._connections:
            connection.close()

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._connection()
            self._gate.wait()
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:  # a snapshot that stays open keeps the log from being emptied
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if is_damage(error):
                self._damaged()
            raise unavailable(error, self._path) from error
        except UnicodeEncodeError:
            raise BadRequest(f"what is looked for: {NO_TEXT}") from None
        except msgspec.DecodeError as error:
            raise StorageUnavailable(
                f"{self._path}: a record cannot be read ({error})", hint="run `autohands doctor`"
            ) from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is not None and self._own.frozen and is_writable(self._path):
            connection.close()  # it was opened as one of a file that nobody changes
            connection = None
        if connection is None:
            self._own.frozen = not is_writable(self._path)
            connection = self._own.connection = connect(self._path, read_only=True)
            self._connections.append(connection)
        return connection
