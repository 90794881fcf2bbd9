"""Named things: no duplicates, helpful misses, a stable order, and snapshots that later changes do not touch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct, field

from autohands.protocols.agent import Agent
from autohands.protocols.channel import Channel
from autohands.protocols.errors import Conflict, NotFound
from autohands.protocols.guard import Guard
from autohands.protocols.loop import Middleware, Observer, Source
from autohands.protocols.memory import MemoryBackend
from autohands.protocols.provider import LLMProvider
from autohands.protocols.skill import SkillLoader
from autohands.protocols.tool import Tool

T = TypeVar("T")
_SHOWN = 20


class Entry(Struct, Generic[T], frozen=True, gc=False):
    """A thing and the extension that brought it."""

    item: T
    owner: str


class Snapshot(Generic[T]):
    """What a registry held at one generation: immutable, in the order of registration."""

    __slots__ = ("_entries", "generation", "kind")

    def __init__(self, kind: str, generation: int, entries: Mapping[str, Entry[T]]) -> None:
        self.kind = kind
        self.generation = generation
        self._entries = MappingProxyType(entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str) -> T:
        """The thing of that name.

        Raises:
            NotFound: There is none; the nearest names are given.
        """
        return self._entry(name).item

    def owner(self, name: str) -> str:
        """The extension that brought it. Raises `NotFound`."""
        return self._entry(name).owner

    def items(self) -> list[tuple[str, T]]:
        """Names and things, in order."""
        return [(name, entry.item) for name, entry in self._entries.items()]

    def values(self) -> list[T]:
        """The things, in order."""
        return [entry.item for entry in self._entries.values()]

    def entries(self) -> Mapping[str, Entry[T]]:
        """Things with their owners, by name."""
        return self._entries

    def _entry(self, name: str) -> Entry[T]:
        entry = self._entries.get(name)
        if entry is None:
            raise NotFound(f"there is no {self.kind} named {name!r}{_nearest(name, list(self._entries))}")
        return entry


class Registry(Generic[T]):
    """Named things of one kind. Every change makes a new generation; snapshots taken before keep what they saw."""

    def __init__(self, kind: str) -> None:
        self._now: Snapshot[T] = Snapshot(kind, 0, {})
        self._followers: list[Callable[[], None]] = []

    def __contains__(self, name: object) -> bool:
        return name in self._now

    def __iter__(self) -> Iterator[str]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    @property
    def generation(self) -> int:
        """How often this registry has changed."""
        return self._now.generation

    def snapshot(self) -> Snapshot[T]:
        """What it holds now, for a reader that must not see later changes."""
        return self._now

    def get(self, name: str) -> T:
        """The thing of that name. Raises `NotFound` with the nearest names."""
        return self._now.get(name)

    def owner(self, name: str) -> str:
        """The extension that brought it. Raises `NotFound`."""
        return self._now.owner(name)

    def items(self) -> list[tuple[str, T]]:
        """Names and things, in order of registration."""
        return self._now.items()

    def values(self) -> list[T]:
        """The things, in order of registration."""
        return self._now.values()

    def add(self, owner: str, *named: tuple[str, T]) -> None:
        """Add things by name for `owner`: all of them or none.

        Raises:
            Conflict: A name is taken, by whom is said.
        """
        entries = dict(self._now.entries())
        for name, item in named:
            if name in entries:
                taken = entries[name].owner
                again = f"{taken!r} has added it" if taken != owner else f"{owner!r} adds it twice"
                raise Conflict(f"{self._now.kind} {name!r} of {owner!r} is refused: {again}", hint="rename one of them")
            entries[name] = Entry(item, owner)
        self._replace(entries)

    def withdraw(self, owner: str) -> None:
        """Remove everything that `owner` added."""
        kept = {name: entry for name, entry in self._now.entries().items() if entry.owner != owner}
        if len(kept) != len(self._now):
            self._replace(kept)

    def follow(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every change from now on. It must be quick, and not raise."""
        self._followers.append(changed)

    def _replace(self, entries: Mapping[str, Entry[T]]) -> None:
        self._now = Snapshot(self._now.kind, self._now.generation + 1, entries)
        for changed in self._followers:
            changed()


ToolRegistry: TypeAlias = Registry[Tool]
ProviderRegistry: TypeAlias = Registry[LLMProvider]
ChannelRegistry: TypeAlias = Registry[Channel]
MemoryRegistry: TypeAlias = Registry[MemoryBackend]
AgentRegistry: TypeAlias = Registry[Agent]
SkillRegistry: TypeAlias = Registry[SkillLoader]
GuardRegistry: TypeAlias = Registry[Guard]
SourceRegistry: TypeAlias = Registry[Source]
ObserverRegistry: TypeAlias = Registry[Observer]
MiddlewareRegistry: TypeAlias = Registry[Middleware]


class Generation(Struct, frozen=True, kw_only=True):
    """A snapshot of all registries, pinned by a run: what it began with is what it finishes on."""

    tools: Snapshot[Tool]
    providers: Snapshot[LLMProvider]
    channels: Snapshot[Channel]
    memories: Snapshot[MemoryBackend]
    agents: Snapshot[Agent]
    skills: Snapshot[SkillLoader]
    guards: Snapshot[Guard]


class Registries(Struct, frozen=True, kw_only=True):
    """Everything that exists in one program, by kind."""

    tools: ToolRegistry = field(default_factory=lambda: Registry("tool"))
    providers: ProviderRegistry = field(default_factory=lambda: Registry("provider"))
    channels: ChannelRegistry = field(default_factory=lambda: Registry("channel"))
    memories: MemoryRegistry = field(default_factory=lambda: Registry("memory"))
    agents: AgentRegistry = field(default_factory=lambda: Registry("agent"))
    skills: SkillRegistry = field(default_factory=lambda: Registry("skill folder"))
    guards: GuardRegistry = field(default_factory=lambda: Registry("guard"))
    sources: SourceRegistry = field(default_factory=lambda: Registry("source"))
    observers: ObserverRegistry = field(default_factory=lambda: Registry("observer"))
    middleware: MiddlewareRegistry = field(default_factory=lambda: Registry("middleware"))

    def snapshot(self) -> Generation:
        """Everything as it is now."""
        return Generation(
            tools=self.tools.snapshot(),
            providers=self.providers.snapshot(),
            channels=self.channels.snapshot(),
            memories=self.memories.snapshot(),
            agents=self.agents.snapshot(),
            skills=self.skills.snapshot(),
            guards=self.guards.snapshot(),
        )

    def withdraw(self, owner: str) -> None:
        """Remove everything that `owner` added, of every kind."""
        registries: Iterable[Registry[object]] = [getattr(self, name) for name in self.__struct_fields__]
        for registry in registries:
            registry.withdraw(owner)


def _nearest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    if near := get_close_matches(name, known, 3, 0.6):
        return f"; did you mean {' or '.join(map(repr, near))}?"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"; there are: {', '.join(known[:_SHOWN])}{more}" if known else "; there are none"
