"""What an error means to a shell, and what it looks like."""

import json

import click
import pytest

from autohands.cli.fail import REASONS, Report, flagged, guarded, status_of
from autohands.protocols import errors
from autohands.protocols.events import Reason


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ConfigError("x"), 2),
        (errors.BadRequest("x"), 2),
        (errors.NotFound("x"), 2),
        (errors.Unauthorized("x"), 2),
        (errors.ToolError("x"), 2),
        (errors.ProviderError("x", kind="auth"), 2),
        (errors.ProviderError("x", kind="budget"), 3),
        (errors.ProviderError("x", kind="broken"), 1),
        (errors.RetryableError("x"), 1),
        (errors.Conflict("x"), 1),
        (errors.TooBusy("x"), 1),
        (errors.StorageUnavailable("x"), 1),
    ],
)
def test_the_status_of_an_error(error: errors.AutoHandsError, status: int) -> None:
    assert status_of(error) == status


def test_every_reason_has_a_status() -> None:
    reasons = Reason.__args__  # type: ignore[attr-defined]
    assert {reason: REASONS.get(reason, 1) for reason in reasons} == {
        "done": 0,
        "client_tools": 0,
        "cancelled": 130,
        "turn_limit": 3,
        "time_limit": 3,
        "call_limit": 3,
        "token_limit": 3,
        "byte_limit": 3,
        "budget": 3,
        "loop": 3,
        "denied": 4,
        "failed": 1,
        "attempts": 1,
        "context_unrecoverable": 1,
    }


def raising(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("x"), 2),
        (OSError(28, "No space left on device", "/tmp/x"), 1),
        (BaseExceptionGroup("", [BaseExceptionGroup("", [errors.NotFound("x")])]), 2),
        (BaseExceptionGroup("", [KeyboardInterrupt()]), 130),
    ],
)
def test_what_is_raised_becomes_a_status(error: BaseException, status: int) -> None:
    assert guarded(lambda: raising(error), Report(json=False, debug=False)) == status


def test_what_nobody_foresaw_goes_on_to_the_hook() -> None:
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: raising(ZeroDivisionError()), Report(json=False, debug=False))
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: raising(BaseExceptionGroup("", [ZeroDivisionError()])), Report(json=False, debug=False))


def test_an_error_is_one_line_and_obeys_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(lambda: raising(errors.NotFound("no \x1b[31mx", hint="try y")), Report(json=False, debug=False))
    assert capsys.readouterr().err == "error: no \\x1b[31mx; try y\n"


def test_a_remedy_that_the_text_names_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(lambda: raising(errors.NotFound("no x; try y", hint="try y")), Report(json=False, debug=False))
    assert capsys.readouterr().err == "error: no x; try y\n"


def test_an_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(lambda: raising(errors.ConfigError("a\nb", hint="c")), Report(json=True, debug=False))
    said = json.loads(capsys.readouterr().err)
    assert said == {"error": {"type": "ConfigError", "message": "a\nb", "hint": "c"}}


def test_flags_behind_two_dashes_are_words() -> None:
    assert flagged(["autohands", "run", "--json", "x"], "--json")
    assert not flagged(["autohands", "run", "--", "--json"], "--json")
    assert not flagged(["--json"], "--json")
