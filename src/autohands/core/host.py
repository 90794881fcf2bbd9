"""What one extension sees of the program: it adds, and what it added goes when it goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from autohands.core.manifest import tool_problems
from autohands.core.registry import Registries
from autohands.protocols.agent import Agent
from autohands.protocols.channel import Channel
from autohands.protocols.context import Blobs, Models, Secrets
from autohands.protocols.errors import BadRequest, Conflict
from autohands.protocols.extension import HttpFactory
from autohands.protocols.guard import Guard
from autohands.protocols.loop import Middleware, Observer, Source
from autohands.protocols.memory import MemoryBackend
from autohands.protocols.process import Command, Process, Spawn
from autohands.protocols.provider import LLMProvider
from autohands.protocols.skill import SkillLoader
from autohands.protocols.tool import Tool


class Shared(Struct, frozen=True, kw_only=True):
    """What all extensions share. `state_dir` is where each gets a directory of its own."""

    http: HttpFactory
    secrets: Secrets
    spawn: Spawn
    blobs: Blobs
    models: Models
    state_dir: Path


class BoundSpawn:
    """Starts processes that end with their extension at the latest."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._running: set[Process] = set()
        self._closed = False

    @asynccontextmanager
    async def __call__(self, command: Command) -> AsyncIterator[Process]:
        """Run a command. Raises `Conflict` where the extension is no longer in service."""
        if self._closed:
            raise Conflict(f"cannot start {command.argv[0]}: the extension is no longer in service")
        async with self._spawn(command) as process:
            self._running.add(process)
            try:
                yield process
            finally:
                self._running.discard(process)

    async def close(self) -> None:
        """End every process that still runs, and start no more."""
        self._closed = True
        await asyncio.gather(*(process.terminate() for process in self._running))


class ExtensionHost:
    """The `Host` of one extension; it records the owner of what is added."""

    def __init__(self, name: str, registries: Registries, shared: Shared) -> None:
        self._name = name
        self._registries = registries
        self._shared = shared
        self._spawn = BoundSpawn(shared.spawn)
        self._open = True

    @property
    def http(self) -> HttpFactory:
        """The one HTTP session of the program, opened on first use."""
        return self._shared.http

    @property
    def secrets(self) -> Secrets:
        """Secrets and endpoints by name."""
        return self._shared.secrets

    @property
    def spawn(self) -> Spawn:
        """Starts a process that ends with the extension at the latest."""
        return self._spawn

    @property
    def blobs(self) -> Blobs:
        """Bytes by content."""
        return self._shared.blobs

    @property
    def models(self) -> Models:
        """Providers; each call is metered."""
        return self._shared.models

    @property
    def state_dir(self) -> Path:
        """A directory of the extension's own, made on first use, for its owner's eyes only."""
        directory = self._shared.state_dir / self._name
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory

    def add_tools(self, *tools: Tool) -> None:
        """Offer tools, all or none.

        Raises:
            Conflict: A name is taken.
            BadRequest: A name or description that no model could be shown.
        """
        problems = [text for tool in tools for text in tool_problems(tool.schema.name, tool.schema.description)]
        if problems:
            raise BadRequest("; ".join(problems))
        self._registries.tools.add(self._owner(), *((tool.schema.name, tool) for tool in tools))

    def add_provider(self, provider: LLMProvider) -> None:
        """Offer a model provider under its name. Raises `Conflict` where it is taken."""
        self._registries.providers.add(self._owner(), (provider.name, provider))

    def add_channel(self, name: str, channel: Channel) -> None:
        """Offer a place where people talk. Raises `Conflict` where the name is taken."""
        self._registries.channels.add(self._owner(), (name, channel))

    def add_memory(self, name: str, memory: MemoryBackend) -> None:
        """Offer a memory. Raises `Conflict` where the name is taken."""
        self._registries.memories.add(self._owner(), (name, memory))

    def add_agent(self, agent: Agent) -> None:
        """Offer an agent under its name. Raises `Conflict` where it is taken."""
        self._registries.agents.add(self._owner(), (agent.name, agent))

    def add_skills(self, name: str, loader: SkillLoader) -> None:
        """Offer skills. Raises `Conflict` where the name is taken."""
        self._registries.skills.add(self._owner(), (name, loader))

    def add_guard(self, name: str, guard: Guard) -> None:
        """Offer a guard. Raises `Conflict` where the name is taken."""
        self._registries.guards.add(self._owner(), (name, guard))

    def add_source(self, name: str, source: Source) -> None:
        """Offer a source of tasks. Raises `Conflict` where the name is taken."""
        self._registries.sources.add(self._owner(), (name, source))

    def add_observer(self, observer: Observer) -> None:
        """Have an observer told of the run loop's phases. Raises `Conflict` where its name is taken."""
        self._registries.observers.add(self._owner(), (observer.name, observer))

    def add_middleware(self, middleware: Middleware) -> None:
        """Put middleware around what passes the task queue. Raises `Conflict` where its name is taken."""
        self._registries.middleware.add(self._owner(), (middleware.name, middleware))

    def withdraw(self) -> None:
        """Remove what was added, and take no more."""
        self._open = False
        self._registries.withdraw(self._name)

    async def close(self) -> None:
        """Withdraw, and end the extension's processes."""
        self.withdraw()
        await self._spawn.close()

    def _owner(self) -> str:
        if not self._open:
            raise Conflict(f"extension {self._name!r} is no longer in service and cannot add anything")
        return self._name
