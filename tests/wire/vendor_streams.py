"""The recorded streams of `streams/`, what each must be read as, and a way to play one without a network."""

from collections.abc import Iterable
from pathlib import Path

from autohands.extensions.provider_anthropic import wire
from autohands.extensions.provider_openai import wire_chat, wire_responses
from autohands.protocols.messages import Message, Part, Reply, StopReason, Text, Thinking, ToolCall, Usage
from autohands.protocols.provider import Delta
from autohands.sdk.exchange import Decode
from autohands.sdk.reply import ReplyAssembler
from autohands.sdk.sse import EventParser

STREAMS = Path(__file__).parent / "streams"
DECODE: dict[str, Decode] = {"chat": wire_chat.decode, "responses": wire_responses.decode, "messages": wire.decode}
CUT = "the arguments were cut off, because the reply reached its output limit; send less at a time"


def reply(model: str, stop: StopReason, usage: Usage, *parts: Part) -> Reply:
    return Reply(Message("assistant", parts), stop, usage, model)


def thought(text: str, *, signature: str | None = None, opaque: str | None = None, id: str | None = None) -> Thinking:
    return Thinking(text, "vendor", signature, opaque, id)


GPT, GPT_5 = "gpt-4.1-2025-04-14", "gpt-5.4-2026-03-05"
SONNET = "claude-sonnet-5-5"

EXPECTED: dict[str, Reply] = {
    "chat/text": reply(GPT, "end", Usage(input=19, output=10, cache_read=8), Text("Hello, Zoë 🙂!")),
    "chat/parallel_calls": reply(
        GPT,
        "tool_calls",
        Usage(input=82, output=34),
        ToolCall("call_DdmO9pD3xa9XTPNJ32zg2hcA", "get_weather", {"location": "Parí" + "s"}),
        ToolCall("call_ABCdef0123456789abcdefgh", "get_time", {"zone": "Europe/Paris", "n": 2}),
    ),
    "chat/cut_short": reply(
        GPT, "length", Usage(input=5, output=16), Text("One"), ToolCall("call_1", "write_file", {}, CUT)
    ),
    "chat/refusal": reply(
        GPT, "refusal", Usage(output=9, estimated=True), Text("I'm sorry, I can't assist with that.")
    ),
    "chat/reasoning_content": reply(
        "deepseek-reasoner",
        "end",
        Usage(input=12, output=9, cache_read=4, thinking=5),
        thought("The user greets me."),
        Text("Hi."),
    ),
    "chat/router": reply("some/model", "end", Usage(input=3, output=2), thought("Short. "), Text("Yes.")),
    "chat/deployment": reply("", "end", Usage(output=2, estimated=True), Text("Fine.")),
    "chat/one_index": reply(
        "gemini-2.5-pro",
        "tool_calls",
        Usage(output=7, estimated=True),
        ToolCall("function-call-1", "glob", {"pattern": "*"}),
        ToolCall("function-call-2", "read_file", {"path": "a"}),
    ),
    "chat/typed_content": reply("magistral-medium", "end", Usage(input=4, output=4), thought("Well."), Text("Bien.")),
    "responses/text": reply(GPT_5, "end", Usage(input=37, output=11, cache_read=16), Text("Hi thére!")),
    "responses/reasoning_and_call": reply(
        GPT_5,
        "tool_calls",
        Usage(input=120, output=60, thinking=32),
        thought("**Looking** at it\n\nCalling", opaque="gAAAA-last", id="rs_6876cf02e0bc"),
        ToolCall("call_12345xyz", "get_weather", {"location": "Paris, 🇫🇷"}),
    ),
    "responses/only_whole_items": reply(
        GPT_5,
        "tool_calls",
        Usage(input=9, output=9),
        thought("Hm.", opaque="gAAAA-x", id="rs_6876cf02e0bc"),
        Text("Whole."),
        ToolCall("call_12345xyz", "get_weather", {}),
    ),
    "responses/refusal": reply(GPT_5, "refusal", Usage(input=9, output=9), Text("I can't help with that.")),
    "responses/incomplete": reply(
        GPT_5, "length", Usage(input=9, output=16), ToolCall("call_12345xyz", "get_weather", {}, CUT)
    ),
    "messages/text": reply(
        SONNET, "end", Usage(input=135, output=15, cache_read=100, cache_write=10), Text("Hello, Zoë 🙂!")
    ),
    "messages/parallel_calls": reply(
        "claude-opus-5-5",
        "tool_calls",
        Usage(input=472, output=89),
        Text("Okay, let's check."),
        ToolCall(
            "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
            "get_weather",
            {"location": "San Francisco, CA", "unit": "fahrenheit"},
        ),
        ToolCall("toolu_01B", "get_time", {}),
    ),
    "messages/thinking": reply(
        SONNET,
        "end",
        Usage(input=25, output=40),
        thought(
            "I need the GCD of 1071 and 462.\n\n1071 = 2 × 462 + 147",
            signature="EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk",
        ),
        thought("", opaque="EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpP"),
        Text("It is **21**."),
    ),
    "messages/omitted_thinking": reply(
        SONNET, "end", Usage(input=25, output=12), thought("", signature="EosnCkYICxIMMb3LzNrMu"), Text("Yes.")
    ),
    "messages/cut_short": reply(
        SONNET, "length", Usage(input=25, output=16), ToolCall("toolu_01", "write_file", {}, CUT)
    ),
    "messages/pause": reply(SONNET, "pause", Usage(input=25, output=5), Text("Searching")),
    "messages/refusal": reply(SONNET, "refusal", Usage(input=25, output=1)),
}


def read(name: str) -> bytes:
    return (STREAMS / f"{name}.sse").read_bytes()


def play(name: str, chunks: Iterable[bytes]) -> tuple[list[Delta], ReplyAssembler]:
    """The deltas of a stream that came in these chunks, and the assembler as they left it."""
    parser, reply = EventParser(), ReplyAssembler(vendor="vendor")
    decode = DECODE[name.partition("/")[0]]
    deltas = [
        delta
        for chunk in chunks
        for event in parser.feed(chunk)
        if not reply.done
        for delta in decode(event.data, reply)
    ]
    return deltas, reply
