"""What a program and a supervisor say to each other over a socket: orders with descriptors there, news back.

An order is JSON with its length before it; news are lines of JSON. Standard library only: supervisors load nothing
else.
"""

from __future__ import annotations

import json
import os
import socket
from array import array
from collections.abc import Sequence
from typing import Any, TypeAlias

Order: TypeAlias = dict[str, Any]
News: TypeAlias = dict[str, Any]

LENGTH = 4
MOST_DESCRIPTORS = 8


def packed(order: Order) -> bytes:
    """An order as it is sent."""
    body = json.dumps(order).encode()
    return len(body).to_bytes(LENGTH, "little") + body


def receive(line: socket.socket, most_bytes: int, *, whole: bool = False) -> tuple[bytes, list[int]]:
    """Bytes and the descriptors that came with them, which no child inherits. Raises `OSError`."""
    flags = socket.MSG_WAITALL if whole else 0
    data, descriptors, _, _ = socket.recv_fds(line, most_bytes, MOST_DESCRIPTORS, flags)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, descriptors


class Line:
    """The supervisor's end."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def fileno(self) -> int:
        """The descriptor, for polling."""
        return self._line.fileno()

    def receive(self) -> tuple[Order, list[int]] | None:
        """The next order with its descriptors, waiting for it; None at the end of the line."""
        try:
            length, descriptors = receive(self._line, LENGTH, whole=True)
            body = self._line.recv(int.from_bytes(length, "little"), socket.MSG_WAITALL)
        except OSError:
            return None
        return (json.loads(body), descriptors) if body else None

    def send(self, news: News, descriptors: Sequence[int] = (), *, urgent: bool = True) -> bool:
        """Tell the program something, and whether it could be told. What is not urgent never waits."""
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        try:
            self._line.sendmsg([json.dumps(news).encode() + b"\n"], passed, 0 if urgent else socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True
