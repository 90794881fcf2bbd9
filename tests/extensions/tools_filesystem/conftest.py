"""What the file tools see of a run: a workspace on disk, blobs in memory, the session's data."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from autohands.protocols.messages import BlobRef
from autohands.sdk import ToolContext
from core.disk import opened


class Blobs:
    """Blobs by hash."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    async def put(self, data: bytes, mime: str) -> BlobRef:
        ref = BlobRef(hashlib.sha256(data).hexdigest(), mime, len(data))
        self.stored[ref.sha256] = data
        return ref


class Context:
    """The part of a `ToolContext` that these tools use."""

    def __init__(self, workspace: object) -> None:
        self.workspace = workspace
        self.blobs = Blobs()
        self.data: dict[str, Any] = {}


@pytest.fixture
async def ctx(workspace: Path) -> AsyncIterator[ToolContext]:
    async with opened(workspace) as files:
        yield cast("ToolContext", Context(files))
