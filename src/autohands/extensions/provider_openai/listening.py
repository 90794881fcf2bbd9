"""An assembler that listens for tool calls in the text: what may be one is held back until it is clear what it is."""

from __future__ import annotations

import re
import uuid
from functools import partial

from autohands.extensions.provider_openai.printed import (
    FENCE,
    FUNCTION,
    MISTRAL,
    TAG,
    PrintedCall,
    Refused,
    Schemas,
    read_printed,
)
from autohands.protocols.messages import Message, Part, Reply, ToolCall
from autohands.sdk.arguments import ARGUMENT_BYTES
from autohands.sdk.exchange import Decode
from autohands.sdk.reply import Deltas, Key, ReplyAssembler, clean

LOOK_CHARACTERS = 80

_MARKERS = (TAG, MISTRAL, FUNCTION, FENCE)
_MARKER = re.compile("|".join(map(re.escape, _MARKERS)))
_SUSPICIOUS = re.compile(r"[<\[`]")
_LONGEST = max(map(len, _MARKERS))
_FENCE_HEAD = re.compile(r"```[A-Za-z_]*\s*")


class Listening(ReplyAssembler):
    """Assembles one answer to a request that offers `tools` (their parameters by name).

    Text streams on as it comes, but for what begins like a call: that is held until the answer stops, and is then
    either calls or text. Where the service made calls of its own, text is text.
    """

    def __init__(self, tools: Schemas, *, vendor: str = "", prompt_bytes: int = 0) -> None:
        super().__init__(vendor=vendor, prompt_bytes=prompt_bytes)
        self._tools = tools
        self._held: list[str] = []
        self._held_characters = 0
        self._holding = False
        self._fenced = False
        self._spoken = False
        self._reasons: dict[str, str] = {}

    def hearing(self, decode: Decode) -> Decode:
        """`decode`, followed by what was held back once the answer has stopped."""
        return partial(self._heard, decode)

    def text(self, piece: str, key: Key = "text") -> Deltas:
        """More text, as far as it is clear that it is no call."""
        if self._spoken and not self._held and not _SUSPICIOUS.search(piece):
            return super().text(piece)
        piece = clean(piece)
        if not piece or self.done:
            return ()
        self.progress += 1
        self._held.append(piece)
        self._held_characters += len(piece)
        if self._holding:
            return () if self._held_characters <= ARGUMENT_BYTES else self.release()
        held = "".join(self._held)
        ready = self._clear(held)
        self._held = [held[ready:]] if ready < len(held) else []
        self._held_characters = len(held) - ready
        return self._say(held[:ready])

    def release(self) -> Deltas:
        """What was held back: calls from now on, or text."""
        held, self._held, self._holding = "".join(self._held), [], False
        self._held_characters = 0
        if not held:
            return ()
        found = None if self.last_call is not None else read_printed(held, self._tools, cut=self.stop == "length")
        match found:
            case None:
                return self._say(held)
            case Refused(name, reason):
                self._reasons[self._call(PrintedCall(name, "{}"))] = reason
                return self._say(held)
            case calls:
                for each in calls:
                    self._call(each)
                return ()

    def finish(self) -> Reply:
        """The whole reply; a call that was refused is kept, with the reason."""
        reply = super().finish()
        if not self._reasons:
            return reply
        parts = tuple(map(self._with_reason, reply.message.parts))
        return Reply(Message("assistant", parts), reply.stop, reply.usage, reply.model)

    def _with_reason(self, part: Part) -> Part:
        if isinstance(part, ToolCall) and part.id in self._reasons:
            return ToolCall(part.id, part.name, {}, self._reasons[part.id])
        return part

    def _heard(self, decode: Decode, data: str, reply: ReplyAssembler) -> Deltas:
        deltas = decode(data, reply)
        return deltas if self.stop is None else deltas + self.release()

    def _call(self, printed: PrintedCall) -> str:
        made = f"call_{uuid.uuid4().hex}"
        self.call(made, id=made, name=printed.name)
        self.arguments(printed.arguments, made)
        return made

    def _say(self, text: str) -> Deltas:
        """Pass text on, also where the stream said its last word with the same event."""
        done, self.done = self.done, False
        deltas = super().text(text)
        self.done = self.done or done
        self._spoken = self._spoken or bool(text.strip())
        return deltas

    def _clear(self, held: str) -> int:
        """Up to where `held` is text beyond doubt."""
        at = 0
        if not self._spoken:
            begun = held.lstrip()
            if not begun:
                return 0
            if begun[0] in "{[" and not MISTRAL.startswith(begun[: len(MISTRAL)]):
                verdict = _names_something(begun)
                if verdict is not False:
                    self._holding = verdict is True
                    return 0
        while found := _MARKER.search(held, at):
            verdict = self._weigh(held, found)
            if verdict is not False:
                self._holding = verdict is True
                return found.start()
            at = found.end()
        return max(at, len(held) - _begun_marker(held))

    def _weigh(self, held: str, found: re.Match[str]) -> bool | None:
        """Whether a call begins at a marker; None while too little of it has come."""
        if found[0] == FENCE:
            verdict = False if self._fenced else _fenced_json(held[found.start() :])
            if verdict is False:
                self._fenced = not self._fenced
            return verdict
        return not self._fenced


def _fenced_json(text: str) -> bool | None:
    head = _FENCE_HEAD.match(text)
    inner = text[head.end() :] if head else ""
    if not inner:
        return None if len(text) < LOOK_CHARACTERS else False
    return _names_something(inner) if inner[0] in "{[" else False


def _names_something(text: str) -> bool | None:
    """Whether JSON begins as a call does, with a name near its start."""
    if '"name"' in text[:LOOK_CHARACTERS]:
        return True
    return False if len(text) >= LOOK_CHARACTERS else None


def _begun_marker(held: str) -> int:
    """How many characters at the end may be the beginning of a marker."""
    for size in range(min(_LONGEST - 1, len(held)), 0, -1):
        if any(marker.startswith(held[-size:]) for marker in _MARKERS):
            return size
    return 0
