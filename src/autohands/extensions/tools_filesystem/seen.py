"""Which content of which file the model has seen in this session, so that it does not undo what others did since."""

from __future__ import annotations

from autohands.sdk import ToolContext, ToolError

WHOLE = 8 << 20
"""Up to this many bytes a file is read in one piece, hashed, and can be edited."""


class Seen:
    """The hashes (SHA-256, hex) of the files that a session has read or written, by path from the root."""

    def __init__(self, ctx: ToolContext) -> None:
        self._workspace = ctx.workspace
        self._hashes: dict[str, str] = ctx.data.setdefault("files", {})

    def get(self, path: str) -> str | None:
        """What the model believes to be there, if it has seen it."""
        return self._hashes.get(self._workspace.relative(path))

    def put(self, path: str, sha256: str | None) -> None:
        """The model knows this content now, or with None no longer any."""
        if sha256 is None:
            self._hashes.pop(self._workspace.relative(path), None)
        else:
            self._hashes[self._workspace.relative(path)] = sha256

    def move(self, source: str, destination: str) -> None:
        """The content is known under another name now, and so is all beneath it."""
        old, new = self._workspace.relative(source), self._workspace.relative(destination)
        self.forget(destination)
        for path in self._beneath(old):
            self._hashes[new + path.removeprefix(old)] = self._hashes.pop(path)

    def forget(self, path: str) -> None:
        """The file is gone, or the directory with all beneath it."""
        for known in self._beneath(self._workspace.relative(path)):
            del self._hashes[known]

    def _beneath(self, path: str) -> list[str]:
        return [known for known in self._hashes if known == path or known.startswith(f"{path}/")]

    def check(self, path: str, sha256: str | None) -> None:
        """Refuse (`conflict`) where the file is not as the model saw it; a file it never saw passes."""
        known = self.get(path)
        if known is not None and known != sha256:
            shown = self._workspace.relative(path)
            raise ToolError(f"conflict: {shown} has changed since you read it; read it again before you change it")
