"""What a person is shown of a call: everything visible that could deceive the eye, and long text by its ends and
hash."""

from __future__ import annotations

import hashlib

from autohands.sdk.clip import escape

MOST_CHARACTERS = 6_000
LONGEST_LINE = 1_000


def shown(text: str) -> str:
    """A text as it may be put before a person's eyes."""
    return collapsed("\n".join(collapsed(line, LONGEST_LINE) for line in escape(text).split("\n")), MOST_CHARACTERS)


def collapsed(text: str, most: int) -> str:
    """The text, or its two ends with what is between them counted and the hash of the whole."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    half = most // 2
    return f"{text[:half]}[… {len(text) - 2 * half:,} characters left out, sha256 of all {digest} …]{text[-half:]}"
