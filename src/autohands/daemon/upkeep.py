"""What is done for the house once a day: a copy of the database, and what is too old goes."""

from __future__ import annotations

import logging
import time
from typing import Final

import msgspec

from autohands.app import backups
from autohands.hands import Hands
from autohands.protocols.errors import AutoHandsError
from autohands.protocols.upkeep import Retention
from autohands.runloop.cron import CronTimer
from autohands.runloop.zones import local_zone

logger = logging.getLogger(__name__)

WHEN: Final = "17 4 * * *"
FRESH_SECONDS: Final = 12 * 3600


class Upkeep:
    """Looks after the database of an open AutoHands, at a quiet hour of each day and when the program starts."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    async def run(self) -> None:
        """Once now, then every day, until cancelled."""
        await self.look()
        await CronTimer("upkeep", WHEN, local_zone(), self.look).run()

    def _has_copy(self) -> bool:
        """Whether there is a fresh copy: a program that starts again and again would else drive out older ones."""
        kept = backups.kept(self._hands.home / backups.FOLDER)
        return bool(kept) and 0 <= time.time() - kept[0].stat().st_mtime < FRESH_SECONDS

    async def look(self) -> None:
        """Copy the database, then delete what is too old. What fails is logged, and is done the next day."""
        storage, config = self._hands.storage, self._hands.config
        try:
            if config.storage.backups and not self._has_copy():
                made = await storage.back_up(config.storage.backups)
                logger.info("copied the database: %s", made.path)
            policy = Retention(**msgspec.structs.asdict(config.retention), backups=config.storage.backups)
            gone = msgspec.structs.asdict(await storage.retain(policy))
            if said := ", ".join(f"{count:,} {what}" for what, count in gone.items() if count):
                logger.info("deleted what was too old: %s", said)
        except AutoHandsError as error:
            logger.error("the daily upkeep has failed: %s", error)
