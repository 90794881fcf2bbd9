"""Where asynchronous commands run: one event loop, an open AutoHands, quiet logging, an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from autohands.cli.fail import debugging
from autohands.protocols.errors import BadRequest

if TYPE_CHECKING:
    from autohands.hands import Hands

T = TypeVar("T")
_STOPPING = (signal.SIGTERM, signal.SIGHUP)


def run(command: Coroutine[Any, Any, T]) -> T:
    """Run a command in a loop of its own. SIGTERM and SIGHUP interrupt it in good order: its task can be resumed."""
    _log(logging.StreamHandler(), debug=debugging(sys.argv))
    return asyncio.run(_until_stopped(command))


def opened(
    *, config: Path | None = None, workspace: Path | None = None, serve: bool = True, home: Path | None = None
) -> AbstractAsyncContextManager[Hands]:
    """An open AutoHands for a command.

    Raises:
        BadRequest: No workspace is named, and the current directory is gone.
    """
    from autohands import app

    try:
        Path.cwd()
    except FileNotFoundError:
        if workspace is None:
            hint = "change to another one, or pass --workspace DIR"
            raise BadRequest("the current directory does not exist any more", hint=hint) from None
    return app.open(home=home, workspace=workspace, config_file=config, serve=serve)


@asynccontextmanager
async def looking(*, config: Path | None = None, serve: bool = False) -> AsyncIterator[Hands]:
    """An open AutoHands for a command that only looks: where there is no state directory yet, none is made."""
    from tempfile import TemporaryDirectory

    from autohands.config.paths import home_directory

    with ExitStack() as stack:
        there = home_directory(os.environ).exists()
        home = None if there else Path(stack.enter_context(TemporaryDirectory(prefix="autohands-")))
        async with opened(config=config, serve=serve, home=home) as hands:
            yield hands


async def _until_stopped(command: Coroutine[Any, Any, T]) -> T:
    loop, got = asyncio.get_running_loop(), []
    main = asyncio.current_task()

    def stop(number: int) -> None:
        got.append(number)
        if main:
            main.cancel()

    for number in _STOPPING:
        loop.add_signal_handler(number, stop, number)
    try:
        return await command
    except asyncio.CancelledError:
        if not got:
            raise
        raise SystemExit(128 + got[0]) from None
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)


def warnings(hands: Hands) -> list[str]:
    """What a person should know before work begins: what did not start, and what configures nothing."""
    from autohands.config.load import strays

    return [*hands.problems, *strays(os.environ)]


class Told(logging.Handler):
    """Log lines among the lines of a screen."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it in the loop's thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, self.format(record))


def tell_log(tell: Callable[[str], None]) -> None:
    """From now on log lines go through a screen, which knows what stands on the terminal."""
    _log(Told(tell), debug=debugging(sys.argv))


def log_to(handler: logging.Handler) -> None:
    """From now on the log goes to a handler, in its own format."""
    _attach(handler, debug=debugging(sys.argv))


def log_level(level: int) -> None:
    """From now on the log has what is at least so important; all of it with --debug."""
    if not debugging(sys.argv):
        logging.getLogger("autohands").setLevel(level)


def _log(handler: logging.Handler, *, debug: bool) -> None:
    """Warnings as one line each; with `debug` everything, with tracebacks."""
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    _attach(handler, debug=debug)


def _attach(handler: logging.Handler, *, debug: bool) -> None:
    handler.addFilter(lambda record: debug or _without_traceback(record))
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, handlers=[handler], force=True)


def _without_traceback(record: logging.LogRecord) -> bool:
    record.exc_info = record.exc_text = None
    return True
