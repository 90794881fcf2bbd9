"""Ids and the wall clock, as they are stored: a prefix with a UUIDv7, and UTC milliseconds."""

from __future__ import annotations

import os
import time


def now_ms() -> int:
    """The wall clock in integer UTC milliseconds."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """`prefix_` and a UUIDv7 (RFC 9562, section 5.7): ids sort by the time they were made. Never parse one."""
    random = int.from_bytes(os.urandom(10), "big")
    value = now_ms() << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0x2 << 62 | random & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{prefix}_{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
