"""What somebody who watches over the program from outside its event loop may find."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Finding(Struct, frozen=True, kw_only=True):
    """Something that should have happened and has not, since `since` (UTC ms).

    `kind` is `schedule`, `timer`, `lease`, `message`, `loop` or `storage`; `subject` is which one.
    """

    kind: str
    subject: str
    text: str
    since: int


class Inspector(Protocol):
    """Looks into what is recorded; blocks, and may be used by one thread beside all others."""

    def look(self, now: int) -> list[Finding]:
        """What is overdue at `now` (UTC ms). Raises `StorageUnavailable`."""
        ...

    def close(self) -> None:
        """Let go of what it has open."""
        ...
