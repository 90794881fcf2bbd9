"""Errors as people and scripts meet them: one line with the remedy, or JSON, and the exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from types import TracebackType

import click

from autohands.protocols.errors import AutoHandsError, ProviderError

DONE, FAILED, USAGE, LIMIT, DENIED, INTERRUPTED = 0, 1, 2, 3, 4, 130
REASONS = {
    "done": DONE,
    "client_tools": DONE,
    "cancelled": INTERRUPTED,
    "turn_limit": LIMIT,
    "call_limit": LIMIT,
    "token_limit": LIMIT,
    "byte_limit": LIMIT,
    "time_limit": LIMIT,
    "budget": LIMIT,
    "loop": LIMIT,
    "denied": DENIED,
}
_USAGE_ERRORS = {"ConfigError", "BadRequest", "NotFound", "Unauthorized", "ToolError"}
_REMEDIES = {
    errno.ENOSPC: "free some disk space and try again",
    errno.EDQUOT: "the disk quota is used up: free some space and try again",
    errno.EACCES: "check its owner and permissions",
    errno.EPERM: "check its owner and permissions",
    errno.EROFS: "the file system is read-only: set AUTOHANDS_HOME to a directory that can be written",
    errno.ENOENT: "name something that exists",
    errno.ENOTDIR: "name a directory",
}


class Report:
    """Says on standard error what went wrong; `json` as an object for scripts, `debug` with the traceback."""

    def __init__(self, *, json: bool, debug: bool) -> None:
        self._json = json
        self._debug = debug

    def error(self, kind: str, message: str, hint: str | None) -> None:
        """One error: its type, what happened and where, and the next step."""
        import json

        from autohands.sdk.clip import escape

        if self._json:
            text = json.dumps({"error": {"type": kind, "message": message, "hint": hint}})
        else:
            text = click.style("error:", fg="red") + " " + escape(message)
            if hint and hint not in message:
                text += ("\n" if "\n" in message else "; ") + escape(hint)
        click.echo(text, err=True, color=colourful(sys.stderr))

    def crash(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """The hook for what nobody foresaw: the interpreter exits with 1 after it."""
        if self._debug:
            sys.__excepthook__(kind, error, trace)
            return
        while trace and trace.tb_next:
            trace = trace.tb_next
        place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"  # noqa: PTH119
        hint = "this is a fault of AutoHands; run it again with --debug for the traceback"
        self.error("Crash", f"{kind.__name__}: {error} ({place})", hint)


def guarded(command: Callable[[], int | None], report: Report) -> int:
    """The exit status of a command; what it raises is reported. Foreseen errors only: others reach the hook."""
    try:
        status = command() or DONE
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except click.Abort:
        return INTERRUPTED
    except (click.ClickException, AutoHandsError, OSError) as error:
        return _reported(error, report)
    except BaseExceptionGroup as group:
        return _reported(_first(group), report)
    return status


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _reported(error: BaseException, report: Report) -> int:
    if isinstance(error, BrokenPipeError):
        return _quiet()
    if isinstance(error, click.ClickException):
        return _usage(error, report)
    if isinstance(error, AutoHandsError):
        report.error(error.type, error.text, error.hint)
        return status_of(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        report.error("OSError", f"{where}{error.strerror or error}", _REMEDIES.get(error.errno or 0))
        return FAILED
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    raise error


def _quiet() -> int:
    """Nobody reads standard output any more: say nothing, and let nothing be said at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _usage(error: click.ClickException, report: Report) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return USAGE
    context = getattr(error, "ctx", None)
    hint = f"see `{context.command_path} --help`" if context else None
    report.error("BadRequest", error.format_message().removesuffix("."), hint)
    return USAGE


def status_of(error: AutoHandsError) -> int:
    """The exit status that an error means: 2 where the caller or the configuration has to change."""
    if isinstance(error, ProviderError):
        return {"auth": USAGE, "budget": LIMIT}.get(error.kind, FAILED)
    return USAGE if error.type in _USAGE_ERRORS else FAILED


def flagged(argv: Sequence[str], flag: str) -> bool:
    """Whether a flag was given, for the time before (and where) the arguments cannot be parsed."""
    given = list(argv[1:])
    return flag in (given[: given.index("--")] if "--" in given else given)


def debugging(argv: Sequence[str]) -> bool:
    """Whether tracebacks are wanted."""
    return flagged(argv, "--debug") or os.environ.get("AUTOHANDS_DEBUG", "") not in ("", "0")


def colourful(stream: object) -> bool:
    """Whether a stream shows colours: a terminal, NO_COLOR unset (no-color.org), not a dumb one."""
    is_terminal = getattr(stream, "isatty", lambda: False)()
    return bool(is_terminal) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
