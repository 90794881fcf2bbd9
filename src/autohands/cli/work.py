"""Where asynchronous commands run: one event loop, an open AutoHands, quiet logging, an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from autohands.cli.fail import debugging
from autohands.protocols.errors import BadRequest

if TYPE_CHECKING:
    from autohands.app import Hands

T = TypeVar("T")
_STOPPING = (signal.SIGTERM, signal.SIGHUP)


def run(command: Coroutine[Any, Any, T]) -> T:
    """Run a command in a loop of its own. SIGTERM and SIGHUP interrupt it in good order: its task can be resumed."""
    _log(debug=debugging(sys.argv))
    return asyncio.run(_until_stopped(command))


def opened(
    *, config: Path | None = None, workspace: Path | None = None, serve: bool = True
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
    return app.open(workspace=workspace, config_file=config, serve=serve)


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


def _log(*, debug: bool) -> None:
    """Warnings as one line each on standard error; with `debug` everything, with tracebacks."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: debug or _without_traceback(record))
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, handlers=[handler])


def _without_traceback(record: logging.LogRecord) -> bool:
    record.exc_info = record.exc_text = None
    return True
