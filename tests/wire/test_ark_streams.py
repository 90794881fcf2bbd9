"""Recorded streams of Ark, whole and cut at every byte offset."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest

from autohands.extensions.provider_openai import wire_chat, wire_responses
from autohands.protocols.messages import Reply, Text, ToolCall, Usage
from autohands.sdk.reply import Deltas, ReplyAssembler
from autohands.sdk.sse import EventParser
from wire.vendor_streams import reply, thought

STREAMS = Path(__file__).parent / "streams_ark"
SEED = "doubao-seed-1-6-251015"
EXPECTED: dict[str, Reply] = {
    "chat_thinking_and_calls": reply(
        SEED,
        "tool_calls",
        Usage(input=412, output=61, cache_read=384, thinking=29),
        thought("用户 asks."),
        Text("I look."),
        ToolCall("call_6zhfg1zfmkmf3hvfm0ahwqrb", "get_weather", {"location": "北京"}),
    ),
    "chat_filtered": reply(SEED, "refusal", Usage(input=20, output=2), Text("抱歉")),
    "responses_thinking_and_call": reply(
        SEED,
        "tool_calls",
        Usage(input=412, output=61, cache_read=384, thinking=29),
        thought("用户 asks.", id="rs_021760000000"),
        ToolCall("call_6zhfg1zf", "get_weather", {"location": "北京"}),
    ),
}


def play(name: str, chunks: Iterable[bytes], ids: list[str]) -> Reply:
    decode: Callable[[str, ReplyAssembler], Deltas] = (
        wire_chat.decode if name.startswith("chat") else partial(wire_responses.decode, ids=ids)
    )
    parser, assembler = EventParser(), ReplyAssembler(vendor="vendor")
    for event in (event for chunk in chunks for event in parser.feed(chunk)):
        if not assembler.done:
            decode(event.data, assembler)
    return assembler.finish()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_pr03_a_stream_of_arks_is_read_whatever_the_cut(name: str) -> None:
    data = (STREAMS / f"{name}.sse").read_bytes()
    ids: list[str] = []
    assert play(name, [data], ids) == EXPECTED[name]
    assert ids == (["resp_021760000000"] if name.startswith("responses") else [])
    for offset in range(1, len(data)):
        assert play(name, [data[:offset], data[offset:]], []) == EXPECTED[name], offset
