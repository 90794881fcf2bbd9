"""A host that only notes what an extension adds to it, with services in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field

from autohands.protocols.agent import Agent
from autohands.protocols.channel import Channel
from autohands.protocols.context import Blobs, Models, Secrets
from autohands.protocols.errors import NotFound, ToolError
from autohands.protocols.extension import HttpFactory
from autohands.protocols.guard import Guard
from autohands.protocols.loop import Middleware, Observer, Source
from autohands.protocols.memory import MemoryBackend
from autohands.protocols.messages import BlobRef
from autohands.protocols.process import Command, Process, Spawn
from autohands.protocols.provider import LLMProvider
from autohands.protocols.skill import SkillLoader
from autohands.protocols.tool import Tool


class GivenSecrets:
    """Secrets of a mapping."""

    def __init__(self, secrets: Mapping[str, str] = MappingProxyType({})) -> None:
        self._secrets = secrets

    def get(self, name: str) -> str | None:
        """The secret, or None."""
        return self._secrets.get(name)


class BlobsInMemory:
    """Bytes by content, in a dictionary."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    async def put(self, data: bytes, mime: str) -> BlobRef:
        """Keep bytes."""
        ref = BlobRef(hashlib.sha256(data).hexdigest(), mime, len(data))
        self._blobs[ref.sha256] = data
        return ref

    async def get(self, ref: BlobRef) -> bytes:
        """The bytes of a reference. Raises `NotFound`."""
        if ref.sha256 not in self._blobs:
            raise NotFound(f"there is no blob {ref.sha256}")
        return self._blobs[ref.sha256]


class NoModels:
    """No provider at all."""

    def get(self, name: str) -> LLMProvider:
        """Raises `NotFound`."""
        raise NotFound(f"there is no provider named {name!r}; there are none")


def no_processes(command: Command) -> AbstractAsyncContextManager[Process]:
    """A `Spawn` on a machine without programs. Raises `ToolError`."""
    raise ToolError(f"there is no program {command.argv[0]}")


def no_http() -> Any:
    """An `HttpFactory` without a network."""
    raise NotFound("there is no network here")


class HostServices(Struct, frozen=True, kw_only=True):
    """What a host offers; by default nothing beyond memory."""

    http: HttpFactory = no_http
    secrets: Secrets = field(default_factory=GivenSecrets)
    spawn: Spawn = no_processes
    blobs: Blobs = field(default_factory=BlobsInMemory)
    models: Models = field(default_factory=NoModels)


class NotingHost:
    """A `Host` for tests. `added` names everything that was added, as `kind name`."""

    def __init__(self, state_dir: Path, services: HostServices | None = None) -> None:
        services = services or HostServices()
        self.state_dir = state_dir
        self.http = services.http
        self.secrets = services.secrets
        self.spawn = services.spawn
        self.blobs = services.blobs
        self.models = services.models
        self.added: list[str] = []
        self.tools: dict[str, Tool] = {}
        self.providers: dict[str, LLMProvider] = {}

    def add_tools(self, *tools: Tool) -> None:
        """Note tools."""
        for tool in tools:
            self.added.append(f"tool {tool.schema.name}")
            self.tools[tool.schema.name] = tool

    def add_provider(self, provider: LLMProvider) -> None:
        """Note a provider."""
        self.added.append(f"provider {provider.name}")
        self.providers[provider.name] = provider

    def add_channel(self, name: str, channel: Channel) -> None:
        """Note a channel."""
        self.added.append(f"channel {name}")

    def add_memory(self, name: str, memory: MemoryBackend) -> None:
        """Note a memory."""
        self.added.append(f"memory {name}")

    def add_agent(self, agent: Agent) -> None:
        """Note an agent."""
        self.added.append(f"agent {agent.name}")

    def add_skills(self, name: str, loader: SkillLoader) -> None:
        """Note skills."""
        self.added.append(f"skills {name}")

    def add_guard(self, name: str, guard: Guard) -> None:
        """Note a guard."""
        self.added.append(f"guard {name}")

    def add_source(self, name: str, source: Source) -> None:
        """Note a source."""
        self.added.append(f"source {name}")

    def add_observer(self, observer: Observer) -> None:
        """Note an observer."""
        self.added.append(f"observer {observer.name}")

    def add_middleware(self, middleware: Middleware) -> None:
        """Note middleware."""
        self.added.append(f"middleware {middleware.name}")
