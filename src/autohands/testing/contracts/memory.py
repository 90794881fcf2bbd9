"""What every memory backend must do: subclass `MemoryContract` in a test module and give it a `memory` fixture."""

from __future__ import annotations

import msgspec
import pytest

from autohands.protocols.context import Labels
from autohands.protocols.errors import NotFound
from autohands.protocols.memory import Memory, MemoryBackend

HARD_QUERIES = (
    "c++",
    "a AND OR NOT NEAR(",
    '"',
    "'; drop table memories; --",
    "*",
    "^a:b{}",
    "-x",
    "%_",
    "\x00",
    "🙂",
    " ",
)


class MemoryContract:
    """Fixture: `memory`, empty."""

    @pytest.mark.asyncio
    async def test_what_is_stored_is_got_back_whole(self, memory: MemoryBackend) -> None:
        given = Memory(
            content="The door code is 4711.",
            memory_type="secret",
            tags=("home", "door"),
            importance=0.9,
            source="chat",
            labels=Labels("untrusted", private=True),
        )
        stored = await memory.store(given)
        assert stored.id
        assert stored.created > 0
        assert await memory.get(stored.id) == stored
        same = {"id": stored.id, "created": stored.created, "updated": stored.updated}
        assert msgspec.structs.replace(given, **same) == stored

    @pytest.mark.asyncio
    async def test_the_same_content_of_the_same_type_is_kept_once(self, memory: MemoryBackend) -> None:
        first = await memory.store(Memory(content="same"))
        again = await memory.store(Memory(content="same"))
        other = await memory.store(Memory(content="same", memory_type="preference"))
        assert first.id == again.id != other.id
        assert len(await memory.list()) == 2

    @pytest.mark.asyncio
    async def test_update_replaces_and_delete_forgets(self, memory: MemoryBackend) -> None:
        stored = await memory.store(Memory(content="blue is her colour"))
        changed = await memory.update(msgspec.structs.replace(stored, content="green is her colour", tags=("new",)))
        assert await memory.get(stored.id) == changed
        assert changed.created == stored.created
        assert [hit.memory.id for hit in await memory.search("green")] == [stored.id]
        assert not await memory.search("blue")
        await memory.delete(stored.id)
        assert not await memory.search("green")
        assert not await memory.list()

    @pytest.mark.asyncio
    async def test_what_is_not_there_is_not_found(self, memory: MemoryBackend) -> None:
        with pytest.raises(NotFound):
            await memory.get("mem_none")
        with pytest.raises(NotFound):
            await memory.update(Memory(id="mem_none", content="x"))
        with pytest.raises(NotFound):
            await memory.delete("mem_none")

    @pytest.mark.asyncio
    async def test_the_newest_come_first_within_type_tags_and_limit(self, memory: MemoryBackend) -> None:
        for number in range(5):
            tags = ("even", "all") if number % 2 == 0 else ("all",)
            await memory.store(Memory(content=f"number {number}", tags=tags, memory_type="fact" if number else "rule"))
        assert [each.content[-1] for each in await memory.list()] == ["4", "3", "2", "1", "0"]
        assert [each.content[-1] for each in await memory.list(limit=2)] == ["4", "3"]
        assert [each.content[-1] for each in await memory.list(tags=("all", "even"))] == ["4", "2", "0"]
        assert [each.content[-1] for each in await memory.list(memory_type="rule")] == ["0"]
        found = await memory.search("number", tags=("even",), memory_type="fact")
        assert sorted(hit.memory.content[-1] for hit in found) == ["2", "4"]

    @pytest.mark.asyncio
    async def test_the_best_hit_comes_first(self, memory: MemoryBackend) -> None:
        await memory.store(Memory(content="The cat sleeps on the red sofa."))
        best = await memory.store(Memory(content="The passport lies in the red drawer of the desk."))
        await memory.store(Memory(content="Buy milk."))
        found = await memory.search("red drawer passport", limit=2)
        assert found[0].memory.id == best.id
        assert [hit.relevance for hit in found] == sorted((hit.relevance for hit in found), reverse=True)
        assert all(0 <= hit.relevance <= 1 for hit in found)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("query", HARD_QUERIES)
    async def test_any_punctuation_is_welcome(self, memory: MemoryBackend, query: str) -> None:
        await memory.store(Memory(content="plain words"))
        assert isinstance(list(await memory.search(query)), list)

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        ("content", "query"),
        [("我喜欢喝绿茶", "绿茶"), ("Die Tür ist grün", "Tür"), ("встреча в пятницу", "ПЯТНИЦУ"), ("C++ rocks", "c++")],
    )
    async def test_any_script_is_found(self, memory: MemoryBackend, content: str, query: str) -> None:
        await memory.store(Memory(content="something else"))
        stored = await memory.store(Memory(content=content))
        assert [hit.memory.id for hit in await memory.search(query)] == [stored.id]
