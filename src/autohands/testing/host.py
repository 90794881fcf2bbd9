"""A host that only notes what an extension adds to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from autohands.protocols.agent import Agent
from autohands.protocols.channel import Channel
from autohands.protocols.context import Blobs, Models, Secrets
from autohands.protocols.extension import HttpFactory
from autohands.protocols.guard import Guard
from autohands.protocols.memory import MemoryBackend
from autohands.protocols.process import Spawn
from autohands.protocols.provider import LLMProvider
from autohands.protocols.skill import SkillLoader
from autohands.protocols.tool import Tool


class HostServices(Struct, frozen=True, kw_only=True):
    """What a host offers; an extension under test that uses one needs it given."""

    http: HttpFactory = dict
    secrets: Secrets | None = None
    spawn: Spawn | None = None
    blobs: Blobs | None = None
    models: Models | None = None


class NotingHost:
    """A `Host` for tests. `added` names everything that was added, as `kind name`."""

    def __init__(self, state_dir: Path, services: HostServices | None = None) -> None:
        services = services or HostServices()
        self.state_dir = state_dir
        self.http = services.http
        self.secrets: Any = services.secrets or NoSecrets()
        self.spawn: Any = services.spawn
        self.blobs: Any = services.blobs
        self.models: Any = services.models
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


class NoSecrets:
    """An environment that holds none."""

    def get(self, name: str) -> str | None:
        """Nothing."""
        return None
