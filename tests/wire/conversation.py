"""A conversation with everything in it that a request can carry, and requests made of it."""

import hashlib
import json
from pathlib import Path
from typing import Any

from autohands.protocols.errors import NotFound
from autohands.protocols.messages import BlobRef, Image, Message, Text, Thinking, ToolCall, ToolReturn, user
from autohands.protocols.provider import Request, ToolSchema
from autohands.sdk.fragments import Encoder, Writer
from autohands.testing.vendor_messages import sign
from autohands.testing.vendor_responses import seal

GOLDEN = Path(__file__).parent / "golden"
VENDOR = "vendor"
PIXEL = b"\x89PNG\r\n\x1a\nnot much of a picture"
PICTURE = BlobRef(hashlib.sha256(PIXEL).hexdigest(), "image/png", len(PIXEL))
GONE = BlobRef("0" * 64, "image/png", 10)
DRAWING = BlobRef(hashlib.sha256(b"<svg/>").hexdigest(), "image/svg+xml", 6)

TOOLS = (
    ToolSchema(
        "read_file",
        "Read a file.",
        {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    ),
    ToolSchema("glob", "Find files.", {"type": "object", "properties": {}}),
)
MESSAGES = (
    Message("user", (Text("What is in ä.txt?"), Image(PICTURE), Image(GONE), Image(DRAWING))),
    Message(
        "assistant",
        (
            Thinking("Let me read it.", VENDOR, sign("Let me read it."), None, None),
            Thinking("Sealed.", VENDOR, None, seal("Sealed."), "rs_1"),
            Thinking("Somebody else's.", "other", sign("?"), None, None),
            Text("I read it. "),
            ToolCall("call_1", "read_file", {"path": "ä.txt"}),
            ToolCall("call_2", "glob", {}, invalid="the arguments are not valid JSON"),
        ),
    ),
    Message("tool", (ToolReturn("call_1", "Grüße 🙂", (PICTURE,)), ToolReturn("call_2", "mend it", failed=True))),
    user("Hurry up."),
    Message("assistant", (Thinking("Nothing to say.", VENDOR, None, seal("Nothing to say."), "rs_2"), Text(" "))),
    Message("assistant", (Text("It says hello."),)),
    Message("user", (Text("Thanks."), Text("<environment>Today is Monday.</environment>"))),
)


def request(**changes: Any) -> Request:
    """The whole conversation as the agent loop sends it."""
    fields: dict[str, Any] = {
        "model": "some-model",
        "system": "You are careful.",
        "messages": MESSAGES,
        "tools": TOOLS,
        "max_output_tokens": 4_096,
        "cache_key": "ses_1",
    }
    return Request(**{**fields, **changes})


async def load(ref: BlobRef) -> bytes:
    if ref == GONE:
        raise NotFound("the blob is gone")
    return {PICTURE: PIXEL, DRAWING: b"<svg/>"}[ref]


async def written(encoder: Encoder, wanted: Request) -> bytes:
    """The body that goes out."""
    return await Writer(encoder, load).write(wanted, VENDOR)


def golden(name: str) -> dict[str, Any]:
    """The body that should."""
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found
