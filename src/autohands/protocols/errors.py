"""The error tree: each class is named after who has to act.

    AutoHandsError
    ├── ToolError            the model: read the text, change the call
    ├── RetryableError       a retry: the same request may succeed later
    ├── ProviderError        nobody now: this request will not succeed as it is
    ├── ConfigError          the operator: mend the configuration
    ├── BadRequest           the caller: mend the request
    ├── Unauthorized         the caller: bring other credentials
    ├── NotFound             the caller: name something that exists
    ├── Conflict             the caller: look at the present state first
    ├── TooBusy              the caller: come back later
    ├── StorageUnavailable   the host: the run parks until the database answers
    └── Fenced               nobody: another executor owns the task, stop silently

Anything else that is raised ends the task, not the program.
"""

from __future__ import annotations


class AutoHandsError(Exception):
    """The root: a text for people and, where one is known, the next step as `hint`."""

    def __init__(self, text: str, *, hint: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint

    @property
    def type(self) -> str:
        """The stable name in JSON errors: the class name."""
        return type(self).__name__


class ToolError(AutoHandsError):
    """A tool cannot do what was asked; the text goes to the model, which can mend its call."""


class RetryableError(AutoHandsError):
    """A provider's passing fault. `retry_after_seconds` is what the service asked for, if it did."""

    def __init__(self, text: str, *, retry_after_seconds: float | None = None, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class ProviderError(AutoHandsError):
    """A provider's final answer.

    `kind` is one of `auth`, `invalid`, `overflow`, `spend`, `refused`, `broken`, `mismatch`, `budget`, `calls`,
    `tokens`, `bytes`.
    """

    def __init__(self, text: str, *, kind: str = "invalid", hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.kind = kind


class ConfigError(AutoHandsError):
    """The configuration is wrong; the text names file, line and key, one problem a line."""


class BadRequest(AutoHandsError):
    """The request does not make sense as it is."""


class Unauthorized(AutoHandsError):
    """The principal may not do this."""


class NotFound(AutoHandsError):
    """There is no such thing, or it belongs to somebody else."""


class Conflict(AutoHandsError):
    """The state of things does not allow this now."""


class TooBusy(AutoHandsError):
    """Back-pressure: a limit is reached; try again after `retry_after_seconds`."""

    def __init__(self, text: str, *, retry_after_seconds: float = 1.0, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class StorageUnavailable(AutoHandsError):
    """The database cannot take a write: disk full, I/O error, damaged file."""


class Fenced(AutoHandsError):
    """The lease was lost: somebody else runs this task now, nothing more may be recorded."""
