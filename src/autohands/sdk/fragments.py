"""The JSON of each message, encoded once: a request is joined from bytes, whatever the length of its history."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from autohands.protocols.errors import NotFound
from autohands.protocols.messages import BlobRef, Image, Message, ToolReturn
from autohands.protocols.provider import LoadBlob, Request, ToolSchema

KEPT_BYTES = 8 * 1024 * 1024
LARGEST_KEPT_BYTES = 256 * 1024
IMAGE_MEDIA = ("image/png", "image/jpeg", "image/gif", "image/webp")

T = TypeVar("T")
Images: TypeAlias = Mapping[str, str]
Encode: TypeAlias = Callable[[Message, str, Images], bytes]


class Kept(Generic[T]):
    """Remembers what a frozen value was encoded to, by its identity, for the last `most` values."""

    def __init__(self, encode: Callable[[T], bytes], most: int = 4096) -> None:
        self._encode = encode
        self._most = most
        self._kept: dict[int, tuple[T, bytes]] = {}

    def of(self, value: T) -> bytes:
        """The value's bytes."""
        kept = self._kept.get(id(value))
        if kept is None:
            if len(self._kept) >= self._most:
                self._kept.clear()
            kept = self._kept[id(value)] = value, self._encode(value)
        return kept[1]


class _Entry(Struct, frozen=True):
    message: Message
    tag: str
    encoded: bytes


class Fragments:
    """Encodes messages with `encode(message, tag, images)` and remembers the bytes by the message's identity.

    `images` gives base64 by sha256, and lacks what is gone or no image that models take. `tag` is what the bytes depend
    on beside the message (the model). Two generations of at most `KEPT_BYTES` are kept: what is in use survives.
    """

    def __init__(self, encode: Encode, load: LoadBlob, kept_bytes: int = KEPT_BYTES) -> None:
        self._encode = encode
        self._load = load
        self._kept_bytes = kept_bytes
        self._young: dict[int, _Entry] = {}
        self._old: dict[int, _Entry] = {}
        self._bytes = 0

    async def of(self, messages: Sequence[Message], tag: str) -> list[bytes]:
        """Each message's bytes; empty ones for what leaves no trace on the wire."""
        found = []
        young = self._young
        for message in messages:
            entry = young.get(id(message))
            if entry is None or entry.tag != tag:
                found.append(await self._make(message, tag))
                young = self._young
            else:
                found.append(entry.encoded)
        return found

    async def _make(self, message: Message, tag: str) -> bytes:
        entry = self._old.get(id(message))
        if entry is None or entry.tag != tag:
            refs = _image_refs(message)
            images = await self._read(refs) if refs else {}
            entry = _Entry(message, tag, self._encode(message, tag, images))
        if len(entry.encoded) <= LARGEST_KEPT_BYTES:
            self._keep(entry)
        return entry.encoded

    def _keep(self, entry: _Entry) -> None:
        if self._bytes > self._kept_bytes:
            self._old, self._young, self._bytes = self._young, {}, 0
        self._young[id(entry.message)] = entry
        self._bytes += len(entry.encoded)

    async def _read(self, refs: Sequence[BlobRef]) -> dict[str, str]:
        images = {}
        for ref in refs:
            if ref.mime in IMAGE_MEDIA:
                try:
                    images[ref.sha256] = base64.b64encode(await self._load(ref)).decode("ascii")
                except NotFound:
                    continue
        return images


class Encoder(Protocol):
    """A vendor's request format."""

    def message(self, message: Message, tag: str, images: Images) -> bytes:
        """One message; empty where it leaves no trace."""
        ...

    def tool(self, schema: ToolSchema) -> bytes:
        """One tool."""
        ...

    def body(self, request: Request, messages: Sequence[bytes], tools: Sequence[bytes]) -> bytes:
        """The whole request; `messages` and `tools` are the encoded ones, in the request's order."""
        ...


class Writer:
    """Writes requests in a vendor's format, encoding each message and each tool only once."""

    def __init__(self, encoder: Encoder, load: LoadBlob) -> None:
        self._encoder = encoder
        self._messages = Fragments(encoder.message, load)
        self._tools = Kept(encoder.tool)

    async def write(self, request: Request, tag: str) -> bytes:
        """The request's body."""
        messages = await self._messages.of(request.messages, tag)
        return self._encoder.body(request, messages, [self._tools.of(tool) for tool in request.tools])


def _image_refs(message: Message) -> list[BlobRef]:
    refs = []
    for part in message.parts:
        if isinstance(part, Image):
            refs.append(part.blob)
        elif isinstance(part, ToolReturn):
            refs.extend(part.images)
    return refs
