"""What runs beside the loop as long as it does, and is begun again when it fails, later each time."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from autohands.protocols.errors import Conflict
from autohands.runloop.beside import Beside
from autohands.runloop.foreign import Status, sheltered
from autohands.runloop.timers import Clock

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 60.0


def back_off_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row: twice as long each time, up to a minute, and never together."""
    return min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0)


class Service:
    """Something that runs until it ends by itself. One that has held out for a minute begins a new row of failures."""

    def __init__(
        self, kind: Literal["service", "source"], name: str, run: Callable[[Status], Awaitable[None]], clock: Clock
    ) -> None:
        self.status = Status(kind=kind, name=name)
        self._run = run
        self._clock = clock

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.status.kind} {self.status.name}"

    async def live(self) -> None:
        """Run, and again after each failure."""
        failures = 0
        while True:
            began = self._clock.now()
            self.status.state = "running"
            if await sheltered(lambda: self._run(self.status), self.status.failed):
                self.status.state = "ended"
                return
            failures = 1 if self._clock.now() - began >= MOST_SECONDS else failures + 1
            self.status.state = "restarting"
            await self._clock.sleep(back_off_seconds(failures))


class Services:
    """The services and sources of one loop."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside
        self._hushed = False
        self._services: dict[str, Service] = {}

    def add(self, service: Service) -> None:
        """Have it run; one that has ended makes room for another. Raises `Conflict` where the name is taken."""
        known = self._services.get(service.key)
        if known and known.status.state != "ended":
            raise Conflict(f"the run loop has a {service.key!r} already", hint="rename one of them, or remove it first")
        self.remove(service.status.kind, service.status.name)
        self._services[service.key] = service
        self._begin(service)

    def remove(self, kind: str, name: str) -> None:
        """Cancel it; another one of the same name begins when this one has ended."""
        key = f"{kind} {name}"
        if self._services.pop(key, None):
            self._beside.cancel(key)

    def start(self) -> None:
        """Begin all that have not ended."""
        self._hushed = False
        for service in self._services.values():
            if service.status.state != "ended":
                self._begin(service)

    def _begin(self, service: Service) -> None:
        if not (self._hushed and service.status.kind == "source"):
            self._beside.start(service.key, service.live)

    def hush(self) -> None:
        """Hear no source any more, not even one that comes now."""
        self._hushed = True
        for key, service in self._services.items():
            if service.status.kind == "source":
                self._beside.cancel(key)
                if service.status.state != "ended":
                    service.status.state = "waiting"

    def status(self) -> list[Status]:
        """How each does."""
        return [service.status for service in self._services.values()]
