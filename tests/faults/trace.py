"""What a program asked of the kernel, as strace wrote it down: what was on disk when the program told of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

STRACE = ("strace", "-f", "-y", "-s", "120", "-e", "trace=fdatasync,fsync,write,pwrite64,sendto", "-o")
CALL = re.compile(r'^(\d+) +(\w+)\(\d+<([^>]*)>(?:, "((?:[^"\\]|\\.)*)")?')
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")


class Call(Struct, frozen=True):
    """One system call on a file: a write as it begins, a sync as it ends."""

    name: str
    file: str
    data: str

    @property
    def writes_journal(self) -> bool:
        """Whether it writes to the database's log."""
        return "write" in self.name and self.file.endswith("-wal")

    @property
    def syncs_journal(self) -> bool:
        """Whether the database's log is on disk after it."""
        return "sync" in self.name and self.file.endswith("-wal")


def read_trace(path: Path) -> Iterator[Call]:
    """The calls of a trace, in order."""
    begun: dict[str, Call] = {}
    for line in path.read_text(errors="replace").splitlines():
        if found := CALL.match(line):
            process, name, file, data = found.groups()
            call = Call(name, file, (data or "").replace("\\n", "\n"))
            if "<unfinished" in line and "sync" in name:
                begun[process] = call
            else:
                yield call
        elif (found := RESUMED.match(line)) and found[2].endswith("sync") and (over := begun.pop(found[1], None)):
            yield over


def position(calls: Sequence[Call], text: str, after: int = 0) -> int:
    """Where something was told that begins with `text`, by a write to anything but the database.

    Raises:
        ValueError: Nowhere.
    """
    for at in range(after, len(calls)):
        call = calls[at]
        if not call.file.endswith((".db", "-wal")) and re.search(rf"(?:^|\n){text}", call.data):
            return at
    raise ValueError(f"nothing was told that begins with {text!r}")


def commits(calls: Sequence[Call], cause: str, told: str) -> int:
    """How often the journal was written and then synced between what caused an acknowledgement and its telling."""
    begin, count, dirty = position(calls, cause), 0, False
    for call in calls[begin : position(calls, told, begin)]:
        if call.syncs_journal:
            count, dirty = count + dirty, False
        dirty = dirty or call.writes_journal
    return count
