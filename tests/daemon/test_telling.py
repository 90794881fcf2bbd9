"""Log records as lines: for a person without what a terminal would obey, for a script as objects."""

from __future__ import annotations

import json
import logging

from autohands.daemon.telling import Json, Plain, event


def record(text: str, *values: object, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": text, "args": values, "levelname": "INFO", "levelno": logging.INFO})
    made.__dict__.update(extra)
    return made


def test_a_plain_line_has_its_time_and_nothing_that_a_terminal_obeys() -> None:
    line = Plain().format(record("task %s", "\x1b[31mred\x1b[0m"))
    assert line.endswith("INFO task \\x1b[31mred\\x1b[0m")
    assert line[4] == line[7] == "-"


def test_an_object_has_the_fields_of_its_event() -> None:
    said = json.loads(Json().format(record("%s ends", "it", **event("task.ended", task="t", seconds=1.5, error=None))))
    assert said.pop("at")
    expected = {"type": "task.ended", "level": "info", "task": "t", "seconds": 1.5, "error": None, "text": "it ends"}
    assert said == expected


def test_any_other_record_is_an_object_too() -> None:
    said = json.loads(Json().format(record("lone \udc80")))
    assert (said["type"], said["text"]) == ("log", "lone \\udc80")
