"""Where code of an extension is entered: whatever it raises is reported and goes no further."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def contained(report: Callable[[BaseException], None]) -> Iterator[None]:
    """Run a block of foreign code; an exception, `sys.exit()` included, is given to `report` and swallowed.

    Cancellation and Ctrl-C pass through.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        report(error)


def describe(error: BaseException) -> str:
    """One line on an error of foreign code: what it is and the file and line it comes from."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    text = " ".join(str(error).split()) or "no message"
    place = f" ({where})" if (where := _place(error)) else ""
    return f"{type(error).__name__}: {text[:500]}{place}"


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return ""  # its text has file and line already
    ours = (str(Path(__file__).parent), str(Path(importlib.__file__).parent), contextlib.__file__, "<frozen ")
    where = ""
    trace = error.__traceback__
    while trace:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(ours):
            where = f"{file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return where
