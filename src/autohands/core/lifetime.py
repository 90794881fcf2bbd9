"""One extension's time in service: a task that enters, waits to be stopped, and leaves; restarted when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

from msgspec import Struct

from autohands.core.foreign import contained, describe
from autohands.core.host import ExtensionHost, Shared
from autohands.core.registry import Registries
from autohands.protocols.errors import AutoHandsError, ConfigError
from autohands.protocols.extension import Extension, Manifest
from autohands.sdk.extension import Extension as ListedExtension

log = logging.getLogger(__name__)
State: TypeAlias = Literal["starting", "running", "restarting", "failed", "stopped"]


class Timing(Struct, frozen=True, kw_only=True):
    """How long an extension may take to start and to stop, and how often and how soon it is started again."""

    grace_seconds: float = 5.0
    restart_seconds: float = 1.0
    restart_most_seconds: float = 60.0
    restarts: int = 8


class Lifetime:
    """An extension in service. What it raises, when it hangs, stays here."""

    def __init__(
        self, extension: Extension, config: Struct | None, registries: Registries, shared: Shared, timing: Timing
    ) -> None:
        self.manifest: Manifest = extension.manifest
        self.state: State = "starting"
        self.reason = ""
        self._extension = extension
        self._config = config
        self._registries = registries
        self._shared = shared
        self._timing = timing
        self._host = self._new_host()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    async def start(self) -> None:
        """Enter service; one that only lists what it adds needs no task for that.

        Raises:
            ConfigError: It could not, or not in time; nothing of it is left.
        """
        extension = self._extension
        if isinstance(extension, ListedExtension) and extension.static:
            with contained(self._fail):
                extension.add_listed(self._host)
                self.state = "running"
        else:
            await self._start_task()
        if self.state != "running":
            self._host.withdraw()
            raise self._start_error()

    async def stop(self) -> None:
        """Withdraw what it added and let it leave; after the grace it is cancelled, then left behind."""
        self._host.withdraw()
        self._stop.set()
        if self._task:
            await self._until({self._task})
            if not self._task.done():
                await self._end(self._task)
        if self.state != "failed":
            self.state = "stopped"

    def cancel(self) -> None:
        """Give it no time: withdraw what it added and cancel its task."""
        self._host.withdraw()
        if self._task:
            self._task.cancel()

    async def _start_task(self) -> None:
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(entered), name=f"extension {self.manifest.name}")
        try:
            await self._until({self._task, entered})
        finally:
            if not entered.done():
                await self._end(self._task)
        if not entered.done() and self._error is None:
            self._fail(ConfigError("it ignores that it was cancelled"))

    async def _end(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await self._until({task})
        if not task.done():
            log.error("extension %s does not end; it is left behind", self.manifest.name)

    async def _until(self, first: set[asyncio.Future[None]]) -> None:
        """Wait for the first to be done; longer than the grace, at which a task that behaves ends by itself."""
        await asyncio.wait(first, timeout=2 * self._timing.grace_seconds, return_when="FIRST_COMPLETED")

    async def _live(self, entered: asyncio.Future[None]) -> None:
        """Serve; after a failure in service withdraw, wait and serve again, as often as the timing allows."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            since = loop.time()
            await self._serve(entered)
            if self._error is None or self._stop.is_set() or not entered.done():
                return
            failures = 1 if loop.time() - since > self._timing.restart_most_seconds else failures + 1
            if failures > self._timing.restarts:
                return
            self.state = "restarting"
            if await self._stopped_within(self._timing.restart_seconds * 2 ** (failures - 1)):
                return
            self._host = self._new_host()

    async def _serve(self, entered: asyncio.Future[None]) -> None:
        """Once from entering to leaving; `_error` is what it failed of, if it did."""
        self._error = None
        try:
            with contained(self._fail):
                await self._enter_and_leave(entered)
        except asyncio.CancelledError as error:
            if self._task is None or self._task.cancelling():
                raise
            self._fail(error)

    async def _enter_and_leave(self, entered: asyncio.Future[None]) -> None:
        grace = self._timing.grace_seconds
        patience = asyncio.timeout(grace)
        try:
            async with patience, asynccontextmanager(self._run)():
                patience.reschedule(None)
                self._entered(entered)
                await self._stop.wait()
                patience.reschedule(asyncio.get_running_loop().time() + grace)
        except TimeoutError as error:
            if not patience.expired():
                raise
            verb = "leave" if self._stop.is_set() else "enter"
            raise ConfigError(f"it did not {verb} service within {grace:g} s") from error
        finally:
            await self._host.close()

    def _entered(self, entered: asyncio.Future[None]) -> None:
        self.state, self.reason = "running", ""
        if not entered.done():
            entered.set_result(None)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(min(seconds, self._timing.restart_most_seconds)):
                return await self._stop.wait()
        except TimeoutError:
            return False

    def _run(self) -> AsyncIterator[None]:
        """The extension's own generator, not one around it: what is thrown at its `yield` must reach its `finally`."""
        return self._extension.run(self._host, self._settings())

    def _settings(self) -> Struct | None:
        """The configuration given, else the defaults of its type."""
        make = self._extension.config
        return make() if self._config is None and make is not None else self._config

    def _new_host(self) -> ExtensionHost:
        return ExtensionHost(self.manifest.name, self._registries, self._shared)

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self.state = "failed"
        self.reason = error.text if isinstance(error, AutoHandsError) else describe(error)
        log.error("extension %s failed: %s", self.manifest.name, self.reason)
        log.debug("extension %s failed", self.manifest.name, exc_info=error)

    def _start_error(self) -> ConfigError:
        name, extra = self.manifest.name, self.manifest.extra
        hint = self._error.hint if isinstance(self._error, AutoHandsError) else None
        if isinstance(self._error, ModuleNotFoundError) and extra:
            hint = f"pip install 'autohands[{extra}]'"
        return ConfigError(f"extension {name!r} did not start: {self.reason}", hint=hint)
