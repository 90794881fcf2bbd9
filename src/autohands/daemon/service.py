"""A program that serves: it takes up what waits, fires schedules, listens, sends, and looks after its house."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from autohands import app
from autohands.config import Loaded, home_directory, prepare_home
from autohands.config.schema import Config
from autohands.daemon import configured
from autohands.daemon.configured import Piece
from autohands.daemon.ground import Ground
from autohands.daemon.lock import NAME, held
from autohands.daemon.progress import Progress
from autohands.daemon.sentinel import REPORT, STEADY, Pace, Sentinel
from autohands.daemon.signals import Signals
from autohands.daemon.upkeep import Upkeep
from autohands.hands import Hands
from autohands.protocols.errors import AutoHandsError, ConfigError, Conflict, NotFound
from autohands.protocols.loop import DEFAULT
from autohands.protocols.queues import LimitQueues
from autohands.protocols.schedule import PauseSchedule, ResumeSchedule
from autohands.runloop.modes import Idle
from autohands.runloop.recovery import Recovery
from autohands.runloop.schedules import Schedules, plan, sync
from autohands.runloop.sources import Source0

logger = logging.getLogger(__name__)

NOT_ENABLED = "not enabled in the configuration"


async def serve(
    ready: Callable[[Hands], None],
    obeyed: Callable[[Config], None],
    *,
    config_file: Path | None,
    workspace: Path | None,
    pace: Pace = STEADY,
) -> None:
    """Serve the state directory until a signal ends it.

    `obeyed` is called with each configuration that comes into force, `ready` when everything is in service.

    Raises:
        Conflict: Another process serves it. ConfigError, StorageUnavailable: As `app.open`.
        StorageUnavailable: The database or the lock has gone while it served.
    """
    paths = prepare_home(home_directory(os.environ))
    with held(paths.run / NAME):
        async with app.open(paths.home, workspace, config_file=config_file, shared=True) as hands:
            await Service(hands, obeyed, pace).run(ready)


class Service:
    """What an open AutoHands does all day."""

    def __init__(self, hands: Hands, obeyed: Callable[[Config], None], pace: Pace = STEADY) -> None:
        self._hands = hands
        self._obeyed = obeyed
        self._pace = pace
        self._signals = Signals()
        self._pieces: dict[str, Piece] = {}
        self._put: dict[str, Piece] = {}
        self._reload = Source0("reload", self._follow_configuration)

    async def run(self, ready: Callable[[Hands], None]) -> None:
        """Serve until a signal ends it, then let runs end within the limit; a second signal does not wait for them.

        Raises:
            ConfigError, BadRequest: A schedule makes no sense. StorageUnavailable: The database or the lock has gone.
        """
        hands, paths = self._hands, self._hands.paths
        sentinel = Sentinel(hands.inspector, hands.storage.queues.all, paths.run / REPORT, self._pace)
        ground = Ground(paths.database, paths.run / NAME, every_seconds=self._pace.look_seconds)
        self._obeyed(hands.config)
        with self._signals.heard(self._reload.signal), sentinel.watching():
            progress = self._tell()
            await self._take_in(hands.loaded)  # before schedules fire: it may have taken one away
            self._attach(progress)
            ready(hands)
            await _first_of(self._signals.stop.wait(), ground.watch())
            await self._end()

    def _tell(self) -> Progress:
        """Tell of what goes on, from the first task on."""
        progress = Progress(self._hands.storage)
        self._hands.kernel.registries.middleware.add("serve", (progress.middleware.name, progress.middleware))
        self._hands.loop.add_service("progress", progress.run)
        return progress

    def _attach(self, progress: Progress) -> None:
        """Put everything into the run loop that does not depend on the configuration."""
        hands, loop = self._hands, self._hands.loop
        hands.kernel.registries.channels.follow(self._arrange)
        loop.add_observer(Idle(loop).observer)
        loop.add_source0(self._reload)
        loop.add_service("recovery", Recovery(hands.storage, DEFAULT).run)
        loop.add_service("schedules", Schedules(hands.storage, told=progress.occurred).run)
        loop.add_service("upkeep", Upkeep(hands).run)

    # --- the configuration -----------------------------------------------------------------------------------------

    async def _take_in(self, loaded: Loaded) -> None:
        """Have everything follow a configuration: all of it, or, where something in it makes no sense, nothing.

        Raises:
            ConfigError, BadRequest: A schedule or a watched folder makes no sense.
        """
        hands, config = self._hands, loaded.config
        try:
            pieces = configured.pieces(hands, config)
            await self._follow_schedules(config)
        except ConfigError as error:
            raise ConfigError(configured.located(error.text, loaded), hint=error.hint) from error
        await hands.storage.commit(LimitQueues(limits=configured.queue_limits(config)))
        await self._end_subscriptions(config)
        for line in hands.obey(loaded):
            logger.warning("%s", line)
        self._pieces = pieces
        self._arrange()
        self._obeyed(config)

    async def _follow_schedules(self, config: Config) -> None:
        """Those that are not enabled rest, with their history, until they are."""
        hands, entries = self._hands, config.schedules
        await sync(hands.storage, configured.schedules(config, hands.workspace))
        for record in await hands.storage.schedules.all():
            schedule = record.schedule
            if schedule.origin != "config" or schedule.name not in entries:
                continue
            if not entries[schedule.name].enabled and record.state == "active":
                await hands.storage.commit(PauseSchedule(name=schedule.name, reason=NOT_ENABLED))
            elif entries[schedule.name].enabled and record.reason == NOT_ENABLED:
                await hands.storage.commit(ResumeSchedule(name=schedule.name, next_at=plan(schedule).next_at))

    async def _end_subscriptions(self, config: Config) -> None:
        """What nobody reads any more must not pile up."""
        for name, entry in self._hands.config.subscriptions.items():
            if name not in config.subscriptions or config.subscriptions[name].topic != entry.topic:
                self._take_away(f"topic.{name}")
                with contextlib.suppress(NotFound):
                    await self._hands.tasks.unsubscribe(name)

    def _arrange(self) -> None:
        """Put into the run loop what is wanted now. What has not changed goes on undisturbed."""
        wanted = self._pieces | configured.mailboxes(self._hands.channels())
        for name, piece in list(self._put.items()):
            if name not in wanted or wanted[name].made_from != piece.made_from:
                self._take_away(name)
        for name, piece in wanted.items():
            if name not in self._put:
                try:
                    piece.put(self._hands.loop)
                    self._put[name] = piece
                except Conflict as error:
                    logger.error("%s", error.text)

    def _take_away(self, name: str) -> None:
        if self._put.pop(name, None):
            self._hands.loop.remove(name)

    async def _follow_configuration(self) -> None:
        try:
            await self._take_in(self._hands.read())
        except AutoHandsError as error:
            hint = f"; {error.hint}" if error.hint and error.hint not in error.text else ""
            logger.error("the configuration in force stays: %s%s", error.text, hint)
        else:
            logger.warning("the configuration was read anew")

    # --- the end ---------------------------------------------------------------------------------------------------

    async def _end(self) -> None:
        """Take nothing more up, and let what runs end in time."""
        limit, running = self._hands.config.limits.drain_seconds, len(self._hands.loop.running)
        if running:
            text = "ending: %d that run have %g s; what has not ended then goes on at the next start"
            logger.warning(text, running, limit)
        else:
            logger.warning("ending: nothing runs")
        await _first_of(self._hands.loop.drain(limit), self._signals.hurry.wait())


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of these has ended; the others are cancelled. Raises what it raises."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for each in done:
        each.result()
