"""The microkernel: what exists, and the lifetimes of the extensions that brought it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeAlias

from msgspec import Struct

from autohands.core.host import Shared
from autohands.core.lifetime import Lifetime, State, Timing
from autohands.core.order import dependants, start_order
from autohands.core.registry import Registries, Registry
from autohands.protocols.errors import ConfigError, Conflict
from autohands.protocols.extension import Extension, Manifest

ExtensionRegistry: TypeAlias = Registry[Lifetime]


class ExtensionStatus(Struct, frozen=True):
    """How an extension does: `reason` says why it failed or is being restarted."""

    name: str
    version: str
    state: State
    reason: str = ""


class Kernel:
    """Starts and stops extensions; leaving its context stops all, in reverse order.

    `registries` is what exists, `shared` what every extension may use. What an extension raises reaches nobody else.
    """

    def __init__(self, registries: Registries, shared: Shared, timing: Timing | None = None) -> None:
        self.registries = registries
        self._shared = shared
        self._timing = timing or Timing()
        self._loaded: ExtensionRegistry = Registry("extension")
        self._failed: dict[str, ExtensionStatus] = {}
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            async with self._changing:
                for name in reversed(list(self._loaded)):
                    await self._leave(name)
        finally:
            for lifetime in self._loaded.values():
                lifetime.cancel()

    def extensions(self) -> list[ExtensionStatus]:
        """All that were loaded, in the order of their start, then those that could not start."""
        return [*(_status(lifetime) for lifetime in self._loaded.values()), *self._failed.values()]

    async def start(self, extensions: Iterable[tuple[Extension, Struct | None]]) -> list[ExtensionStatus]:
        """Load extensions with their configuration, requirements first; one that fails does not stop the others.

        Returns: those that did not start, each with its reason.
        """
        wanted = {extension.manifest.name: (extension, config) for extension, config in extensions}
        async with self._changing:
            plan = start_order([*self._manifests(), *(extension.manifest for extension, _ in wanted.values())])
            for name, reason in plan.problems.items():
                if name in wanted:
                    self._note_failed(wanted[name][0].manifest, reason)
            for name in plan.names:
                if name in wanted:
                    await self._try_enter(*wanted[name])
        return [self._failed[name] for name in wanted if name in self._failed]

    async def load(self, extension: Extension, config: Struct | None = None) -> None:
        """Start one extension on the running program.

        Raises:
            Conflict: It is loaded already, or what it requires is not.
            ConfigError: It failed to start; nothing of it is left.
        """
        async with self._changing:
            await self._enter(extension, config)

    async def unload(self, name: str, *, cascade: bool = False) -> list[str]:
        """Stop an extension and withdraw what it added; with `cascade` those that require it go first.

        Returns: the names of all that were stopped, in that order.

        Raises:
            NotFound: It is not loaded.
            Conflict: Another one requires it.
        """
        async with self._changing:
            self._loaded.get(name)
            needing = dependants(name, self._manifests())
            if needing and not cascade:
                raise Conflict(f"extension {name!r} is required by {', '.join(needing)}", hint="unload those as well")
            going = [each for each in reversed(list(self._loaded)) if each == name or each in needing]
            for each in going:
                await self._leave(each)
            return going

    async def _try_enter(self, extension: Extension, config: Struct | None) -> None:
        try:
            await self._enter(extension, config)
        except (ConfigError, Conflict) as error:
            self._note_failed(extension.manifest, error.text)

    async def _enter(self, extension: Extension, config: Struct | None) -> None:
        manifest = extension.manifest
        if manifest.name in self._loaded:
            raise Conflict(f"extension {manifest.name!r} is loaded already", hint="unload it first")
        problems = start_order([*self._manifests(), manifest]).problems
        if manifest.name in problems:
            raise Conflict(f"extension {manifest.name!r} cannot start: {problems[manifest.name]}")
        lifetime = Lifetime(extension, config, self.registries, self._shared, self._timing)
        await lifetime.start()
        self._loaded.add(manifest.name, (manifest.name, lifetime))
        self._failed.pop(manifest.name, None)

    async def _leave(self, name: str) -> None:
        lifetime = self._loaded.get(name)
        await lifetime.stop()
        self._loaded.withdraw(name)

    def _note_failed(self, manifest: Manifest, reason: str) -> None:
        self._failed[manifest.name] = ExtensionStatus(manifest.name, manifest.version, "failed", reason)

    def _manifests(self) -> list[Manifest]:
        return [lifetime.manifest for lifetime in self._loaded.values()]


def _status(lifetime: Lifetime) -> ExtensionStatus:
    manifest = lifetime.manifest
    return ExtensionStatus(manifest.name, manifest.version, lifetime.state, lifetime.reason)
