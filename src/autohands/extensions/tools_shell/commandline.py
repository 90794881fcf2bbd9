"""Command lines: the shell that reads them, and how they are shown to who must approve."""

from __future__ import annotations

from autohands.sdk import ToolError
from autohands.sdk.clip import escape


def shell_program() -> str:
    """Bash where there is one, else what POSIX guarantees."""
    import shutil

    return shutil.which("bash") or "/bin/sh"


def checked_command(command: str | None, action: str) -> str:
    """The command that an action needs. Raises `ToolError` where there is none."""
    if command is None or not command.strip():
        raise ToolError(f"invalid_arguments: {action} needs a command")
    return command


def approval(command: str, cwd: str, stdin: str | None = None) -> str:
    """What would run, where, with everything visible that could deceive the eye."""
    where = "the workspace" if cwd in ("", ".") else escape(cwd)
    lines = [f"run in {where}:", escape(command)]
    if stdin is not None:
        lines.append(f"with {len(stdin):,} characters of input, beginning {escape(stdin[:80])!r}")
    return "\n".join(lines)
