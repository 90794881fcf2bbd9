"""The run loop: decides when things run; what happens then is the business of whom it calls.

After Core Foundation's run loop (CFRunLoop), on asyncio. One turn of it: BEFORE_TIMERS, BEFORE_SOURCES, what was
signalled is performed; if nothing waits already, BEFORE_WAITING, sleep, AFTER_WAITING; what is due fires. ENTRY comes
before the first turn, EXIT after the last. It sleeps until something wakes it or the next timer is due, and never looks
whether something has come. Beside it, in tasks of their own, run the tasks that the engine claims, the sources that
are iterators, and services; what a source0 or a timer begins is begun in its turn, and goes on beside the loop if it
takes longer. Nothing that any of them raises ends the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from autohands.protocols.errors import Conflict
from autohands.protocols.loop import Observer, Phase, Source
from autohands.protocols.storage import Engine, Handler, Lease
from autohands.runloop.beside import Beside
from autohands.runloop.foreign import Status, sheltered
from autohands.runloop.modes import SHARED, Modes
from autohands.runloop.observers import Observers
from autohands.runloop.services import Service, Services
from autohands.runloop.sources import Door, Hearing, Signals, Source0
from autohands.runloop.timers import Alarm, Clock, Timer, Timers

logger = logging.getLogger(__name__)


class RunLoop:
    """Serves the queues of its present mode, and everything that was put into it, also while it runs.

    `modes` names the queues that each mode serves; it begins in the first. `slots` tasks run at once; queues that a
    later mode brings have a quarter of that in addition, so that they hold no slot that the first mode's need. `queue`
    is where its sources submit. All of it belongs to one event loop and one thread.
    """

    def __init__(
        self,
        engine: Engine,
        handler: Handler,
        queue: Door,
        *,
        slots: int,
        modes: Mapping[str, Sequence[str]] = SHARED,
        clock: Clock = Clock(),  # noqa: B008  frozen
    ) -> None:
        self._engine = engine
        self._handler = handler
        self._queue = queue
        self._slots = slots
        self._clock = clock
        self._modes = Modes(modes)
        self._beside = Beside(self.wake_up)
        self._observers = Observers()
        self._timers = Timers(clock, lambda name: f"timer {name}" in self._beside)
        self._signals = Signals(self.wake_up)
        self._services = Services(self._beside)
        self._synced: dict[tuple[str, str], Source | Observer] = {}
        self._activations: dict[Lease, str] = {}
        self._woken = asyncio.Event()
        self._still = asyncio.Event()
        self._still.set()
        self._runs = self._stopping = False

    @property
    def mode(self) -> str:
        """The mode it is in."""
        return self._modes.present

    @property
    def running(self) -> frozenset[str]:
        """The ids of the tasks that run now."""
        return frozenset(lease.record.id for lease in self._activations)

    def busy(self, mode: str) -> bool:
        """Whether a task runs from a queue that this mode brought."""
        return mode in self._activations.values()

    def status(self) -> list[Status]:
        """How everything in it does: observers, timers, sources, services."""
        parts = (self._observers, self._timers, self._signals, self._services)
        return [replace(status) for part in parts for status in part.status()]

    async def run(self) -> None:
        """Run until `stop`, or until cancelled; then tasks that run are interrupted, and ready again.

        Raises:
            Conflict: It runs already.
        """
        if self._runs:
            raise Conflict("the run loop runs already")
        self._runs, self._modes.closed = True, False
        try:
            async with self._beside.open():
                await self._serve()
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from group.exceptions[0].__cause__
            raise
        finally:
            self._runs = self._stopping = False

    def stop(self) -> None:
        """End `run`; when it does not run yet, at once when it does."""
        self._stopping = True
        self.wake_up()

    def wake_up(self) -> None:
        """Let it take another turn."""
        self._woken.set()

    def enter(self, mode: str) -> None:
        """Go over to a mode: its queues are served from now on, its sources heard. What runs goes on.

        Raises:
            NotFound: It has no such mode.
        """
        if self._modes.enter(mode):
            self._engine.wake()
            self.wake_up()

    async def drain(self, seconds: float) -> bool:
        """Begin nothing any more, wait until nothing runs, at most so long, and stop. Whether everything has ended."""
        self._modes.closed = True
        self._services.hush()
        try:
            async with asyncio.timeout(seconds):
                await self._still.wait()
        except TimeoutError:
            return False
        finally:
            self.stop()
        return True

    def add_observer(self, observer: Observer) -> None:
        """Tell it of phases. Raises `Conflict` where the name is taken."""
        self._observers.add(observer)
        self.wake_up()

    def add_source(self, name: str, source: Source) -> None:
        """Submit what it brings. Raises `Conflict` where the name is taken."""
        hearing = Hearing(name, source, self._queue, self._modes, self._clock)
        self._services.add(Service("source", name, hearing.run, self._clock))

    def add_source0(self, source: Source0) -> None:
        """Perform it when it is signalled. Raises `Conflict` where the name is taken."""
        self._signals.add(source)
        self.wake_up()

    def add_timer(self, timer: Timer) -> None:
        """Fire it when it is due. Raises `Conflict` where the name is taken."""
        self._timers.add(timer)
        self.wake_up()

    def add_service(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Have something run beside the loop, again when it fails. Raises `Conflict` where the name is taken."""
        self._services.add(Service("service", name, lambda status: run(), self._clock))

    def remove(self, name: str) -> None:
        """Take out whatever has that name, if anything has; what it is doing is cancelled."""
        for synced in (("source", name), ("observer", name)):
            self._synced.pop(synced, None)
        self._remove("observer", name)
        self._signals.remove(name)
        self._timers.remove(name)
        for kind in ("source", "service"):
            self._remove(kind, name)
        for kind in ("source0", "timer"):
            self._beside.cancel(f"{kind} {name}")

    def sync(self, sources: Iterable[tuple[str, Source]], observers: Iterable[Observer]) -> None:
        """Have these, and of those that came this way before no others. One whose name is taken is reported."""
        wanted: dict[tuple[str, str], Source | Observer] = {("source", name): each for name, each in sources}
        wanted |= {("observer", each.name): each for each in observers}
        for (kind, name), each in list(self._synced.items()):
            if wanted.get((kind, name)) is not each:
                self._remove(kind, name)
                del self._synced[kind, name]
        for (kind, name), each in wanted.items():
            if (kind, name) not in self._synced:
                try:
                    self.add_observer(each) if isinstance(each, Observer) else self.add_source(name, each)
                    self._synced[kind, name] = each
                except Conflict as error:
                    logger.error("%s", error.text)

    def _remove(self, kind: str, name: str) -> None:
        if kind == "observer":
            self._observers.remove(name)
        else:
            self._services.remove(kind, name)

    async def _serve(self) -> None:
        """Serve queues and take turns, until one of them ends."""
        async with asyncio.TaskGroup() as group:
            serving = [
                group.create_task(
                    self._engine.serve(
                        partial(self._dispatch, mode),
                        slots=self._slots if number == 0 else max(self._slots // 4, 1),
                        queues=partial(self._modes.served, mode),
                    ),
                    name=f"serve {mode}",
                )
                for number, mode in enumerate(self._modes.brought)
                if self._modes.brought[mode]
            ]
            self._services.start()
            await self._take_turns()
            for each in serving:
                each.cancel()

    async def _dispatch(self, mode: str, lease: Lease) -> None:
        """Run one activation of a task from a queue that `mode` brought."""
        self._activations[lease] = mode
        self._still.clear()
        self._tell()
        try:
            await self._handler(lease)
        finally:
            del self._activations[lease]
            if not self._activations:
                self._still.set()
            self._tell()

    def _tell(self) -> None:
        """A task has begun or ended: that is a turn's worth where somebody observes."""
        if self._observers:
            self.wake_up()

    async def _take_turns(self) -> None:
        alarm = Alarm(self._clock, self.wake_up)
        self._notify(Phase.ENTRY)
        try:
            while not self._stopping:
                await self._turn(alarm)
        finally:
            self._notify(Phase.EXIT)
            await alarm.close()

    async def _turn(self, alarm: Alarm) -> None:
        self._notify(Phase.BEFORE_TIMERS)
        self._notify(Phase.BEFORE_SOURCES)
        self._perform_signalled()
        await asyncio.sleep(0)  # what was begun gets its first step, and everything else its turn
        if not self._woken.is_set():
            self._notify(Phase.BEFORE_WAITING)
            alarm.set(None if self._modes.closed else self._timers.next_at(self.mode))
            await self._woken.wait()
            self._notify(Phase.AFTER_WAITING)
        self._woken.clear()  # what wakes from here on makes another turn
        self._fire_due()

    def _perform_signalled(self) -> None:
        if not self._modes.closed:
            for source in self._signals.take_signalled(self.mode, self._beside.__contains__):
                self._begin(source.status, source.perform)

    def _fire_due(self) -> None:
        if not self._modes.closed and not self._stopping:
            for timer, status in self._timers.take_due(self.mode):
                self._begin(status, timer.fire)

    def _begin(self, status: Status, action: Callable[[], Awaitable[object]]) -> None:
        """Begin what a source0 or timer does, unless it is still at it."""
        self._beside.start(f"{status.kind} {status.name}", partial(_perform, status, action))

    def _notify(self, phase: Phase) -> None:
        if self._observers:
            self._observers.notify(phase, self.mode)


async def _perform(status: Status, action: Callable[[], Awaitable[object]]) -> None:
    status.state = "running"
    try:
        await sheltered(action, status.failed)
    finally:
        status.state = "waiting"
