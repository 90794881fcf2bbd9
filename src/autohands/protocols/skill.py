"""Instructions on disk, disclosed in three levels: name and description, the body, further files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class Skill(Struct, frozen=True, kw_only=True):
    """Level 1: what is always shown. `unmet` says why it cannot be used here, if it cannot."""

    id: str
    name: str
    description: str
    tags: tuple[str, ...] = ()
    allowed_tools: tuple[str, ...] | None = None
    unmet: str | None = None


class SkillLoader(Protocol):
    """Finds skills and reads them."""

    async def list(self) -> Sequence[Skill]:
        """All skills, by name."""
        ...

    async def load(self, skill: str) -> str:
        """Level 2: the body. Raises `NotFound`."""
        ...

    async def read(self, skill: str, path: str) -> bytes:
        """Level 3: a file beneath the skill's folder. Raises `NotFound`."""
        ...
