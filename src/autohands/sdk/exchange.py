"""One model call: post the request, decode the events, end in exactly one reply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from autohands.protocols.errors import RetryableError
from autohands.protocols.extension import HttpFactory
from autohands.protocols.provider import Delta, Replied, TextPiece, ThinkingPiece
from autohands.sdk.faults import Service, from_code
from autohands.sdk.http import Answer, Endpoint, post
from autohands.sdk.reply import Deltas, ReplyAssembler
from autohands.sdk.sse import Event

GRACE_SECONDS = 5.0

T = TypeVar("T")
Decode: TypeAlias = Callable[[str, ReplyAssembler], Deltas]


class Call(Struct, frozen=True):
    """One call, ready to be made; `decode` turns each event's data into deltas and fills `reply`."""

    endpoint: Endpoint
    body: bytes
    decode: Decode
    reply: ReplyAssembler


async def exchange(http: HttpFactory, prepare: Callable[[], Awaitable[Call]]) -> AsyncIterator[Delta]:
    """Make the call that `prepare` gives and stream its answer, ending in one `Replied`.

    Raises:
        RetryableError: A passing fault; also a stream that stops before the answer is whole.
        ProviderError: A final one.
    """
    call = await prepare()
    service, decode, reply = call.endpoint.service, call.decode, call.reply
    answer = await post(http, call.endpoint, call.body)
    del call  # and with it the body, which may be large: the answer may take an hour
    try:
        while not reply.done:
            events = await _next(answer, service, reply)
            if not events:
                break
            before = reply.progress
            deltas = _decode(events, decode, reply)
            if reply.error is not None:
                raise from_code(service, *reply.error)
            for delta in deltas:
                yield delta
            if reply.progress != before:
                answer.progress()
            if reply.stop is not None and not reply.done:
                answer.hurry(GRACE_SECONDS)
        await answer.drain()
    finally:
        answer.close()
    yield Replied(reply.finish())


async def _next(answer: Answer, service: Service, reply: ReplyAssembler) -> list[Event]:
    """The next events, none at the end of a whole answer, whatever becomes of the connection after it."""
    try:
        events = await answer.events()
    except RetryableError:
        if reply.stop is None:
            raise
        return []
    if not events and reply.stop is None:
        raise RetryableError(f"{service.name}: the stream ended early, before the answer was whole")
    return events


def _decode(events: list[Event], decode: Decode, reply: ReplyAssembler) -> Sequence[Delta]:
    """What the events of one read add. Where several came at once, the reader was slower than the service: pieces of a
    kind that follow one another become one, so that it catches up."""
    if len(events) == 1:
        return decode(events[0].data, reply)
    joined: list[Delta] = []
    for event in events:
        for delta in decode(event.data, reply):
            if joined and isinstance(delta, TextPiece) and isinstance(joined[-1], TextPiece):
                joined[-1] = TextPiece(joined[-1].text + delta.text)
            elif joined and isinstance(delta, ThinkingPiece) and isinstance(joined[-1], ThinkingPiece):
                joined[-1] = ThinkingPiece(joined[-1].text + delta.text)
            else:
                joined.append(delta)
        if reply.done or reply.error is not None:
            break
    return joined


def read_chunk(decoder: msgspec.json.Decoder[T], data: str) -> T:
    """One event's data, decoded. Lone surrogates stay in it: the assembler knows what to do with them.

    Raises:
        RetryableError: It is not what the service's format says.
    """
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        import json

        try:
            return msgspec.convert(json.loads(data), decoder.type, strict=False)
        except (msgspec.ValidationError, ValueError, RecursionError):
            raise RetryableError(f"the service sent an event that cannot be read: {error}") from error
