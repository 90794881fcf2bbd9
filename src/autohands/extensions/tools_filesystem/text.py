"""Bytes of a file as text and back, byte for byte: which encoding, which mark in front, or no text at all."""

from __future__ import annotations

import codecs
import re

from msgspec import Struct

HEAD = 8192
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NO_CONTROLS = b"\a\b\t\n\v\f\r\x1b" + bytes(range(0x20, 0x100))
SAMPLE = 1 << 20
BROKEN, SOUND = re.compile("[\udc80-\udcff]"), re.compile("[^\0-\x7f\udc80-\udcff]")
SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x7fELF", "application/x-elf"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\0asm", "application/wasm"),
)


class Encoding(Struct, frozen=True):
    """How a text file is written: codec, mark in front, what becomes of bytes that are not of it."""

    name: str
    mark: bytes = b""
    errors: str = "strict"

    @property
    def width(self) -> int:
        """How many bytes a unit has."""
        return {"utf-16": 2, "utf-32": 4}.get(self.name[:6], 1)

    def decode(self, data: bytes) -> str:
        """The text of a whole file. Raises UnicodeDecodeError for broken UTF-16 and UTF-32."""
        return data.removeprefix(self.mark).decode(self.name, self.errors)

    def encode(self, text: str) -> bytes:
        """The file of a text. Raises UnicodeEncodeError for characters that the encoding does not have."""
        return self.mark + text.encode(self.name, self.errors)


def encoding_of(data: bytes, *, whole: bool = True) -> Encoding | None:
    """How a file's content is encoded, by its beginning; None if it is no text.

    What is neither marked nor UTF-8 is read as Latin-1, which takes any byte, unless most of what is not ASCII is
    UTF-8: then the few broken bytes are carried along as surrogates (PEP 383). Either way nothing gets lost.
    """
    for mark, name in MARKS:
        if data.startswith(mark):
            return _marked(Encoding(name, mark, "surrogateescape" if name == "utf-8" else "strict"), data, whole=whole)
    if not looks_like_text(data[:HEAD]):
        return None
    return Encoding("latin-1") if mostly_broken(data[:SAMPLE]) else Encoding("utf-8", errors="surrogateescape")


def mostly_broken(sample: bytes) -> bool:
    """Whether bytes that UTF-8 cannot explain outnumber its characters beyond ASCII."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        text = sample.decode("utf-8", "surrogateescape")
        return len(BROKEN.findall(text)) > len(SOUND.findall(text))
    return False


def _marked(encoding: Encoding, data: bytes, *, whole: bool) -> Encoding | None:
    decoder = codecs.getincrementaldecoder(encoding.name)(encoding.errors)
    try:
        decoder.decode(data.removeprefix(encoding.mark), final=whole)
    except UnicodeDecodeError:
        return None
    return encoding


def looks_like_text(head: bytes) -> bool:
    """Whether bytes may be text: no NUL, and at most a tenth of other control characters."""
    controls = head.translate(None, NO_CONTROLS)
    return 0 not in controls and len(controls) * 10 <= len(head)


def showable(text: str) -> str:
    r"""Text that JSON can carry: NUL as `\x00`, a byte that is not UTF-8 as `\xff`."""
    text = text.replace("\0", "\\x00")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return text


def media_type(data: bytes) -> str:
    """The media type that the first bytes tell; `application/octet-stream` where they tell none."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for signature, mime in SIGNATURES if data.startswith(signature)), "application/octet-stream")
