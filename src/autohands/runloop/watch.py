"""Watched folders: what is made or changed in one is work, once it has been quiet there for a while."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, TypeAlias

from msgspec.structs import replace

from autohands.protocols.errors import ConfigError
from autohands.protocols.loop import MODES
from autohands.protocols.task import Task
from autohands.runloop.globs import Globs

MOST_NAMED: Final = 50
LONGEST_SECONDS: Final = 60.0
STEP_MS: Final = 200
ALWAYS_IGNORED: Final = (
    *(".git/", ".hg/", ".svn/", ".venv/", "node_modules/", "__pycache__/"),
    *("*~", "*.swp", "*.swx", ".#*", ".DS_Store", "*.part", "*.crdownload"),
)

Stamp: TypeAlias = tuple[int, int]
Seen: TypeAlias = Mapping[str, Stamp]


class FolderWatch:
    """A source: a task for each burst of changes beneath a folder. `{paths}` in its prompt stands for the files.

    Files count that fit one of `patterns` and none of `ignore` (both as in `globs`). A burst ends when it has been
    quiet for `debounce_seconds`, or after a minute. What was deleted is no work, and neither is what symbolic links
    lead to. What the system tells is only taken as a hint: the folder is looked through then, so that nothing is missed
    that came with a directory, in a flood, or under a name that is no Unicode. What changes while nobody watches,
    because the program does not run, is not noticed; a change that was told and not accepted is told again.
    """

    modes = MODES
    most_files = 100_000

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        task: Task,
        patterns: Sequence[str] = ("**",),
        ignore: Sequence[str] = (),
        debounce_seconds: float = 2.0,
    ) -> None:
        """`task` is what to do, with a prompt.

        Raises:
            BadRequest: One of the patterns is none.
        """
        self._name = name
        self._path = path
        self._task = task
        self._patterns = Globs(patterns)
        self._ignored = Globs((*ALWAYS_IGNORED, *ignore))
        self._debounce_seconds = debounce_seconds
        self._seen: Seen | None = None

    async def tasks(self) -> AsyncIterator[Task]:
        """Tasks as files change.

        Raises:
            ConfigError: The folder is not there, or there is too much in it.
        """
        folder = self._folder()
        if self._seen is None:
            self._seen = await asyncio.to_thread(self._look)
        async with aclosing(self._bursts(folder)) as bursts:
            async for _ in bursts:
                now = await asyncio.to_thread(self._look)
                if changed := sorted(path for path, stamp in now.items() if self._seen.get(path) != stamp):
                    yield self._work(changed, now)
                self._seen = now

    async def _bursts(self, folder: Stamp) -> AsyncGenerator[None, None]:
        """Once when the watching has begun, then whenever it is quiet after changes."""
        from watchfiles import awatch

        quiet_ms = max(round(self._debounce_seconds * 1000), 50)
        told = awatch(
            self._path,
            watch_filter=lambda change, path: self._counts(path),
            debounce=max(quiet_ms, STEP_MS),
            step=min(quiet_ms, STEP_MS),  # how long it may take to stop
            rust_timeout=quiet_ms,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        since: float | None = time.monotonic()
        async with aclosing(told):
            async for changes in told:
                if not changes and self._folder() != folder:  # what is taken away tells nothing
                    raise ConfigError(f"watch {self._name}: {self._path} is another folder now")
                now = time.monotonic()
                since = since or (now if changes else None)
                if since is not None and (not changes or now - since > LONGEST_SECONDS):
                    since = None
                    yield

    def _counts(self, path: str) -> bool:
        """Whether a change there is worth a look; a directory may hold what fits."""
        return not self._ignored.match(os.path.relpath(path, self._path))

    def _folder(self) -> Stamp:
        """What tells the folder from another one at its place."""
        try:
            status = self._path.stat()
        except OSError as error:
            text = f"watch {self._name}: {self._path} cannot be watched: {error.strerror}"
            raise ConfigError(text, hint="make the folder, or change `path`") from error
        if not stat.S_ISDIR(status.st_mode):
            raise ConfigError(f"watch {self._name}: {self._path} is no folder")
        return status.st_dev, status.st_ino

    def _look(self) -> Seen:
        """The files that count, each with when it was changed and its size."""
        found: dict[str, Stamp] = {}
        waiting = [""]
        while waiting:
            for path, entry in self._entries(waiting.pop()):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{path}/")
                elif entry.is_file(follow_symlinks=False) and self._patterns.match(path):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        found[path] = (status.st_mtime_ns, status.st_size)
            if len(found) > self.most_files:
                raise ConfigError(
                    f"watch {self._name}: there are more than {self.most_files:,} files in {self._path}",
                    hint="narrow `patterns`, or name directories in `ignore`",
                )
        return found

    def _entries(self, directory: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """What lies in a directory and is not ignored; nothing where it has gone or may not be read."""
        try:
            entries = os.scandir(self._path / directory)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            if not directory:
                raise
            return
        with entries:
            for entry in entries:
                path = directory + entry.name
                if not self._ignored.match(path, directory=entry.is_dir(follow_symlinks=False)):
                    yield path, entry

    def _work(self, changed: Sequence[str], now: Seen) -> Task:
        """The task; what it is for is in its key, so that telling it again makes no second one."""
        told = json.dumps([(path, now[path], (self._seen or {}).get(path)) for path in changed])
        return replace(
            self._task,
            prompt=self._task.prompt.replace("{paths}", self._listed(changed)),
            source=f"watch:{self._name}",
            idempotency_key=hashlib.sha256(told.encode()).hexdigest(),
        )

    def _listed(self, changed: Sequence[str]) -> str:
        """Paths as a tool takes them: from the workspace where they are in it. The first fifty, one a line."""
        folder = self._path
        if self._task.workspace and folder.is_relative_to(self._task.workspace):
            folder = folder.relative_to(self._task.workspace)
        lines = [_shown(str(folder / path)) for path in changed[:MOST_NAMED]]
        if len(changed) > MOST_NAMED:
            lines.append(f"and {len(changed) - MOST_NAMED:,} more in {_shown(str(folder))}")
        return lines[0] if len(lines) == 1 else "\n" + "\n".join(lines)


def _shown(path: str) -> str:
    """A path on one line, whatever its owner has called it."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return text if text.isprintable() else json.dumps(text)
