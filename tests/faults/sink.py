"""What happened in the world: a file outside of the program to which every body appends as it begins and as it ends.

One line of less than a page, appended in one `write`, is there whole or not at all, whoever is killed. A line is `KIND
KEY PHASE`; the harness adds `life N -` before each start of the program.
"""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct


class Entry(Struct, frozen=True):
    """One line. `life` is the start of the program in which it was written, from 1."""

    kind: str
    key: str
    phase: str
    life: int


class Sink:
    """The writing end."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, kind: str, key: str, phase: str) -> None:
        """Append a line."""
        os.write(self._file, f"{kind} {key} {phase}\n".encode())

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def read_sink(path: Path) -> list[Entry]:
    """Every line so far but the marks between lives."""
    life, entries = 0, []
    for line in path.read_text().splitlines() if path.exists() else ():
        kind, key, phase = line.split()
        if kind == "life":
            life = int(key)
        else:
            entries.append(Entry(kind, key, phase, life))
    return entries
