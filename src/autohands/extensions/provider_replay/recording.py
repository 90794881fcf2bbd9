"""Recordings on disk: JSON lines, first a head, then one line for each request and its reply.

    {"recording": 1, "prompt": "…", "model": "…", "pace_seconds": 0.01}
    {"turn": 0, "said": ["user: …"], "reply": {"message": {…}, "stop": "tool_calls", "usage": {…}}}
    {"turn": 1, "said": ["call: glob {…}", "result: …"], "reply": {…}}

`turn` counts the model's replies before; `said` is what came since, as `fingerprint` writes it. Where `said` is null
any request of that turn gets the reply. A line is found by its content, so that a run that was interrupted goes on
wherever it stopped, and the file may hold several conversations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from autohands.extensions.provider_replay.fingerprint import Asked, difference
from autohands.protocols.errors import ProviderError
from autohands.protocols.messages import Reply

VERSION = 1
RECORDINGS = Path(__file__).parent / "recordings"


class Head(Struct, frozen=True, kw_only=True):
    """The first line: what was asked of which model, and how long to wait between two words."""

    recording: int = VERSION
    prompt: str = ""
    model: str = ""
    pace_seconds: float = 0.0


class Line(Struct, frozen=True):
    """A request and its reply."""

    turn: int
    said: tuple[str, ...] | None
    reply: Reply


class Recording:
    """A recording that was read."""

    def __init__(self, name: str, head: Head, lines: list[Line]) -> None:
        self.head = head
        self._name = name
        self._lines = lines

    def reply(self, asked: Asked) -> Reply:
        """The reply that was given.

        Raises:
            ProviderError: The request is not the recorded one (`kind="mismatch"`); the text shows the difference.
        """
        candidates = [line for line in self._lines if line.turn == asked.turn]
        for line in candidates:
            if line.said is None or line.said == asked.said:
                return line.reply
        if not candidates:
            said = f"the recording {self._name} ends before turn {asked.turn + 1}"
            raise ProviderError(said, kind="mismatch", hint="record the run again with --record")
        closest = max(candidates, key=lambda line: _alike(line.said or (), asked.said))
        said = f"the request differs from the recording {self._name}: "
        told = difference(Asked(asked.turn, closest.said or ()), asked)
        raise ProviderError(said + told, kind="mismatch", hint="record the run again with --record")


def find(model: str) -> Path:
    """The file that a model's name means: a recording that comes with the program, or a path."""
    shipped = RECORDINGS / model / "recording.jsonl"
    return shipped if "/" not in model and shipped.is_file() else Path(model).expanduser()


def shipped_names() -> list[str]:
    """The recordings that come with the program."""
    return sorted(path.parent.name for path in RECORDINGS.glob("*/recording.jsonl"))


def read(file: Path) -> Recording:
    """Read a recording.

    Raises:
        ProviderError: There is no such file, or it is no recording; the text names the line.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        hint = f"write replay/FILE, or replay/NAME with NAME one of: {', '.join(shipped_names())}"
        raise ProviderError(f"{file}: {error.strerror or error}", kind="invalid", hint=hint) from error
    head, lines = Head(), []
    for number, line in _numbered(data):
        try:
            if number == 1 and b'"recording"' in line:
                head = msgspec.json.decode(line, type=Head)
            else:
                lines.append(msgspec.json.decode(line, type=Line))
        except (msgspec.DecodeError, UnicodeError) as error:
            said = f"{file}, line {number}: not a line of a recording ({error})"
            raise ProviderError(said, kind="invalid", hint="`run --record FILE` writes recordings") from error
    return Recording(file.name if file.name != "recording.jsonl" else file.parent.name, head, lines)


def append(file: Path, *records: Head | Line) -> None:
    """Add lines to a recording, which only its owner may read.

    Raises:
        ProviderError: The file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        with file.open("ab") as out:
            out.write(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    except OSError as error:
        said = f"the recording {file} cannot be written: {error.strerror or error}"
        raise ProviderError(said, kind="invalid", hint="name another file with --record") from error


def _numbered(data: bytes) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(data.splitlines(), start=1) if line.strip())


def _alike(old: tuple[str, ...], new: tuple[str, ...]) -> int:
    return sum(1 for one, other in zip(old, new, strict=False) if one == other)
