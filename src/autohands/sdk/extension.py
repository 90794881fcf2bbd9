"""`Extension`: a manifest plus what it adds, with a lifetime."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from msgspec import Struct

from autohands.protocols.agent import Agent
from autohands.protocols.extension import Host, Manifest, Setup
from autohands.protocols.tool import Tool


class Extension(Struct, kw_only=True, eq=False):
    """What an entry point of the group `autohands.extensions` names.

    A static extension lists `tools` and `agents`. One with a lifetime has an async generator, decorated with
    `@extension.setup`, that adds to the host, yields once while in service, and cleans up after.
    """

    name: str
    version: str
    summary: str
    config: type[Struct] | None = None
    requires: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    extra: str | None = None
    tools: tuple[Tool, ...] = ()
    agents: tuple[Agent, ...] = ()
    lifetime: Setup | None = None

    @property
    def manifest(self) -> Manifest:
        """Who it is."""
        return Manifest(
            name=self.name,
            version=self.version,
            summary=self.summary,
            requires=self.requires,
            permissions=self.permissions,
            extra=self.extra,
        )

    @property
    def static(self) -> bool:
        """Whether it only lists what it adds, and so needs no task of its own."""
        return self.lifetime is None

    def setup(self, function: Setup) -> Setup:
        """Decorate the async generator `(host, config)` that is this extension's lifetime."""
        self.lifetime = function
        return function

    def add_listed(self, host: Host) -> None:
        """Register what is listed."""
        host.add_tools(*self.tools)
        for agent in self.agents:
            host.add_agent(agent)

    def run(self, host: Host, config: Any) -> AsyncIterator[None]:
        """Register what is listed, then live as `setup` says: the async generator itself, so that errors reach it."""
        self.add_listed(host)
        return _only_listed() if self.lifetime is None else self.lifetime(host, config)


async def _only_listed() -> AsyncIterator[None]:
    """The lifetime of an extension that has none of its own."""
    yield
