"""Search on ripgrep: files by name, lines by pattern."""

from autohands.sdk import Extension

from .glob import glob
from .grep import grep

extension = Extension(
    name="tools-search",
    version="1.0.0",
    summary="Find files by name and lines by pattern, with ripgrep.",
    permissions=("files", "process"),
    tools=(glob, grep),
)
