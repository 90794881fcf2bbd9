"""What a program that serves tells of itself: its log, as lines for a person or as JSON for a script."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from autohands.daemon.lines import Lines
from autohands.sdk.clip import escape, json_safe

EVENT: Final = "event"


def event(kind: str, **fields: Any) -> dict[str, dict[str, Any]]:
    """What a log record is about, as `extra`: JSON lines have these fields, `kind` as their type."""
    return {EVENT: {"type": kind, **fields}}


class Told(logging.Handler):
    """A log whose lines go where nobody has to read them."""

    def __init__(self, lines: Lines, formatter: logging.Formatter) -> None:
        super().__init__()
        self._lines = lines
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        self._lines.put(self.format(record))


class Plain(logging.Formatter):
    """`2026-01-31 08:00:00 INFO what happened`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """A line that no terminal takes for a command."""
        return escape(super().formatMessage(record))


class Json(logging.Formatter):
    """An object: `type` (that of the event, or `log`), `at`, `level`, the event's fields, `text`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields: dict[str, Any] = dict(getattr(record, EVENT, None) or {"type": "log"})
        said = {
            "type": fields.pop("type"),
            "at": datetime.fromtimestamp(record.created, UTC).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **{name: json_safe(value) if isinstance(value, str) else value for name, value in fields.items()},
            "text": json_safe(record.getMessage()),
        }
        if record.exc_info:
            said["traceback"] = json_safe(self.formatException(record.exc_info))
        return msgspec.json.encode(said).decode()
