"""The mailbox of a channel: what people say there becomes tasks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from typing import Final

from autohands.protocols.channel import Channel, Incoming
from autohands.protocols.context import Labels
from autohands.protocols.loop import MODES
from autohands.protocols.task import Task

LONGEST_PEER: Final = 200
LONGEST_SESSION: Final = 128
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._:-]+")
_HASH_LENGTH: Final = 16
_STRANGER: Final = Labels(integrity="untrusted", untrusted=True)


class Mailbox:
    """A `protocols.loop.Source`: each message is a task of the one who said it, answered where it was said.

    A message that comes while its session works is that session's next task. One that is delivered again is the same
    task: its id in the channel is the idempotency key. Nobody in a channel is the owner: what they say is untrusted,
    and what needs a person waits for one.
    """

    modes = MODES

    def __init__(self, name: str, channel: Channel) -> None:
        self._name = name
        self._channel = channel

    async def tasks(self) -> AsyncIterator[Task]:
        """What is said, as it comes; what says nothing is left out."""
        async for message in self._channel.receive():
            if message.text.strip() or message.images:
                yield self._task(message)

    def _task(self, message: Incoming) -> Task:
        return Task(
            prompt=_said(message),
            source=f"channel:{self._name}",
            principal=f"channel:{self._name}:{_short(message.peer, LONGEST_PEER)}",
            session=session_of(self._name, message.thread),
            reply_address=f"{self._name}:{message.thread}",
            idempotency_key=message.id or None,
            labels=_STRANGER,
            consent="ask",
        )


def session_of(channel: str, thread: str) -> str:
    """The name of a thread's session. Two threads never share one: what had to be changed to be a name has a hash."""
    name = f"{channel}.{thread}"
    if len(name) <= LONGEST_SESSION and not _UNSAFE.search(name) and not name.startswith("ses_"):
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{_UNSAFE.sub('_', f'channel.{name}')[: LONGEST_SESSION - _HASH_LENGTH - 1]}:{digest}"


def _short(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{text[: longest - _HASH_LENGTH - 1]}:{digest}"


def _said(message: Incoming) -> str:
    """The prompt. An image cannot be shown to a model from here yet, and that is said rather than hidden."""
    if not message.images:
        return message.text
    count = len(message.images)
    note = f"[{count} image{'s' if count > 1 else ''} came with this and cannot be shown]"
    return f"{message.text}\n\n{note}" if message.text.strip() else note
