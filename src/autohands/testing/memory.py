"""A memory backend in memory: for tests, and the least that one must do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace

from autohands.protocols.errors import NotFound
from autohands.protocols.memory import Found, Memory
from autohands.sdk.identity import new_id, now_ms

_WORD = re.compile(r"\w+")


class MemoryInMemory:
    """A `MemoryBackend` in a dictionary. Words match by their letters, scripts without spaces by pairs of them."""

    def __init__(self) -> None:
        self._memories: dict[str, Memory] = {}

    async def store(self, memory: Memory) -> Memory:
        """Keep it and return it with its id; the same content of the same type is kept once."""
        for known in self._memories.values():
            if (known.content, known.memory_type) == (memory.content, memory.memory_type):
                return known
        now = now_ms()
        stored = replace(memory, id=new_id("mem"), created=memory.created or now, updated=now)
        self._memories[stored.id] = stored
        return stored

    async def get(self, memory: str) -> Memory:
        """One memory by id. Raises `NotFound`."""
        if memory not in self._memories:
            raise NotFound(f"there is no memory {memory!r}")
        return self._memories[memory]

    async def update(self, memory: Memory) -> Memory:
        """Replace the memory of that id. Raises `NotFound`."""
        known = await self.get(memory.id)
        self._memories[memory.id] = replace(memory, created=known.created, updated=now_ms())
        return self._memories[memory.id]

    async def delete(self, memory: str) -> None:
        """Forget one. Raises `NotFound`."""
        await self.get(memory)
        del self._memories[memory]

    async def list(
        self, *, memory_type: str | None = None, tags: Sequence[str] = (), limit: int = 100
    ) -> Sequence[Memory]:
        """The newest first; `tags` must all be there."""
        return self._matching(memory_type, tags)[:limit]

    async def search(
        self, query: str, *, memory_type: str | None = None, tags: Sequence[str] = (), limit: int = 10
    ) -> Sequence[Found]:
        """Those that share a term with the query, the largest share first."""
        wanted = _terms(query)
        hits = [(len(wanted & _terms(memory.content)), memory) for memory in self._matching(memory_type, tags)]
        found = [Found(memory, shared / len(wanted)) for shared, memory in hits if shared]
        return sorted(found, key=lambda hit: (-hit.relevance, -hit.memory.importance))[:limit]

    def _matching(self, memory_type: str | None, tags: Sequence[str]) -> Sequence[Memory]:
        return [
            memory
            for memory in reversed(self._memories.values())
            if memory_type in (None, memory.memory_type) and set(tags) <= set(memory.tags)
        ]


def _terms(text: str) -> set[str]:
    terms: set[str] = set()
    for word in _WORD.findall(text.casefold()):
        terms |= {word} if word.isascii() or len(word) < 2 else {word[at : at + 2] for at in range(len(word) - 1)}
    return terms
