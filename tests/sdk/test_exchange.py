"""One model call from its events to its reply: what is read leniently, and what a slow reader gets."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import pytest
from msgspec import Struct

from autohands.protocols.errors import RetryableError
from autohands.protocols.provider import Delta, Replied, TextPiece, ThinkingPiece
from autohands.sdk.exchange import Call, exchange, read_chunk
from autohands.sdk.faults import Service
from autohands.sdk.http import Endpoint, Http
from autohands.sdk.reply import Deltas, ReplyAssembler
from autohands.testing.script import Turn, words
from autohands.testing.vendors import FakeVendors


class Chunk(Struct):
    text: str = ""
    count: int = 0


CHUNK = msgspec.json.Decoder(Chunk)


def test_unknown_fields_are_nothing_and_numbers_may_be_strings() -> None:
    assert read_chunk(CHUNK, '{"text": "a", "new": {"x": 1}}') == Chunk("a")
    assert read_chunk(CHUNK, '{"count": "7"}') == Chunk("", 7)


def test_lone_surrogates_are_left_to_the_assembler() -> None:
    assert read_chunk(CHUNK, '{"text": "a\\ud800b"}') == Chunk("a\ud800b")
    assert read_chunk(CHUNK, '{"text": "\\ud83d\\ude42"}') == Chunk("🙂")


@pytest.mark.parametrize("data", ["", "{", "[]", "null", '{"text": 1}', '{"count": "many"}', "[" * 100_000, "\ud800"])
def test_pr03_what_is_no_chunk_is_a_passing_fault(data: str) -> None:
    with pytest.raises(RetryableError, match="cannot be read"):
        read_chunk(CHUNK, data)


def decode(data: str, reply: ReplyAssembler) -> Deltas:
    """A format as plain as can be: `t` is thought, `.` ends, anything else is said."""
    if "content" not in data:
        reply.stop = "end"
        reply.done = True
        return ()
    return reply.thinking("t") if '"t' in data else reply.text("s")


async def heard(turn: Turn, http: Http) -> AsyncIterator[Delta]:
    async with FakeVendors([turn]) as vendors:
        service = Service("acme", "ACME_API_KEY", vendors.url)
        headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}
        body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "x"}]}'
        endpoint = Endpoint(service, f"{vendors.openai_url}/chat/completions", headers)

        async def prepare() -> Call:
            return Call(endpoint, body, decode, ReplyAssembler())

        async with aclosing(exchange(http, prepare)) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                yield delta


async def test_what_came_at_once_is_given_at_once_and_kinds_stay_apart() -> None:
    http = Http()
    turn = Turn(thinking="t " * 20, text="s " * 30, faults=("all-at-once",))
    deltas = [delta async for delta in heard(turn, http)]
    await http.close()
    *pieces, last = deltas
    assert [type(piece) for piece in pieces] in ([ThinkingPiece, TextPiece], [TextPiece, ThinkingPiece, TextPiece])
    assert sum(len(piece.text) for piece in pieces if isinstance(piece, TextPiece)) >= len(words(turn.text))
    assert isinstance(last, Replied)


async def test_nothing_is_sent_before_somebody_listens() -> None:
    asked = []

    async def prepare() -> Call:
        asked.append(True)
        raise AssertionError("nobody listens")

    exchange(Http(), prepare)
    assert asked == []
