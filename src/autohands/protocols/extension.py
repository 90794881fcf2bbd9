"""A manifest plus what it adds, with a lifetime; and the host it sees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from autohands.protocols.agent import Agent
from autohands.protocols.channel import Channel
from autohands.protocols.context import Blobs, Models, Secrets
from autohands.protocols.guard import Guard
from autohands.protocols.loop import Middleware, Observer, Source
from autohands.protocols.memory import MemoryBackend
from autohands.protocols.process import Spawn
from autohands.protocols.provider import LLMProvider
from autohands.protocols.skill import SkillLoader
from autohands.protocols.tool import Tool


class Manifest(Struct, frozen=True, kw_only=True):
    """Who an extension is: name (`tools-browser`), version, one line of summary.

    `requires` names other extensions with version bounds (`tools-web>=1`); `permissions` what it wants of the host
    (`network`, `process`, `files`); `extra` the optional dependencies that it needs.
    """

    name: str
    version: str
    summary: str
    requires: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    extra: str | None = None


class Host(Protocol):
    """What an extension may do to the kernel. What it added is withdrawn when it is unloaded."""

    @property
    def http(self) -> HttpFactory:
        """The one HTTP session of the program, opened on first use, inside the loop."""
        ...

    @property
    def secrets(self) -> Secrets:
        """Secrets and endpoints by name; the environment's are among them."""
        ...

    @property
    def spawn(self) -> Spawn:
        """Starts a process that ends with the extension at the latest."""
        ...

    @property
    def blobs(self) -> Blobs:
        """Bytes by content."""
        ...

    @property
    def models(self) -> Models:
        """Providers; each call is metered."""
        ...

    @property
    def state_dir(self) -> Path:
        """A directory of the extension's own, made on first use."""
        ...

    def add_tools(self, *tools: Tool) -> None:
        """Offer tools. Raises `Conflict` where a name is taken."""
        ...

    def add_provider(self, provider: LLMProvider) -> None:
        """Offer a model provider under its name."""
        ...

    def add_channel(self, name: str, channel: Channel) -> None:
        """Offer a place where people talk."""
        ...

    def add_memory(self, name: str, memory: MemoryBackend) -> None:
        """Offer a memory."""
        ...

    def add_agent(self, agent: Agent) -> None:
        """Offer an agent under its name."""
        ...

    def add_skills(self, name: str, loader: SkillLoader) -> None:
        """Offer skills."""
        ...

    def add_guard(self, name: str, guard: Guard) -> None:
        """Offer a guard; it can only make things stricter."""
        ...

    def add_source(self, name: str, source: Source) -> None:
        """Offer a source: its tasks are submitted as they come."""
        ...

    def add_observer(self, observer: Observer) -> None:
        """Have an observer told of the run loop's phases."""
        ...

    def add_middleware(self, middleware: Middleware) -> None:
        """Put middleware around what passes the task queue."""
        ...


# The session is aiohttp's, but this package knows no library: `sdk/http.py` gives it its type.
HttpFactory: TypeAlias = Callable[[], Any]
Setup: TypeAlias = Callable[[Host, Any], AsyncIterator[None]]


class Extension(Protocol):
    """What the entry point names."""

    @property
    def manifest(self) -> Manifest:
        """Who it is."""
        ...

    @property
    def config(self) -> type[Struct] | None:
        """The type of its table `[extensions.NAME]`; None takes no configuration."""
        ...

    def run(self, host: Host, config: Any) -> AsyncIterator[None]:
        """Enter service, yield once, leave. Runs in a task of its own."""
        ...
