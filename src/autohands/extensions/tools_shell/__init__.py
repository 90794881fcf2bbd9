"""Commands: run one and wait, keep a shell, keep processes in the background."""

from autohands.sdk import Extension

from .background import background
from .exec import exec_
from .shell_session import shell_session

extension = Extension(
    name="tools-shell",
    version="1.0.0",
    summary="Run commands, keep a shell, keep processes in the background.",
    permissions=("process",),
    tools=(exec_, shell_session, background),
)
