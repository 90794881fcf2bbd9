"""Stores and finds memories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from autohands.protocols.context import Labels


class Memory(Struct, frozen=True, kw_only=True):
    """Something worth keeping. `importance` is 0…1, `source` where it came from, times are UTC ms."""

    id: str = ""
    content: str
    memory_type: str = "fact"
    tags: tuple[str, ...] = ()
    importance: float = 0.5
    source: str = ""
    labels: Labels = Labels()
    created: int = 0
    updated: int = 0


class Found(Struct, frozen=True):
    """A hit and how well it fits, 0…1."""

    memory: Memory
    relevance: float


class MemoryBackend(Protocol):
    """Create, read, update, delete, list and search."""

    async def store(self, memory: Memory) -> Memory:
        """Keep it and return it with its id; the same content of the same type is kept once."""
        ...

    async def get(self, memory: str) -> Memory:
        """One memory by id. Raises `NotFound`."""
        ...

    async def update(self, memory: Memory) -> Memory:
        """Replace the memory of that id. Raises `NotFound`."""
        ...

    async def delete(self, memory: str) -> None:
        """Forget one. Raises `NotFound`."""
        ...

    async def list(
        self, *, memory_type: str | None = None, tags: Sequence[str] = (), limit: int = 100
    ) -> Sequence[Memory]:
        """The newest first; `tags` must all be there."""
        ...

    async def search(
        self, query: str, *, memory_type: str | None = None, tags: Sequence[str] = (), limit: int = 10
    ) -> Sequence[Found]:
        """The best first. Any punctuation and any script are welcome in `query`."""
        ...
