"""Requests against golden files, and against what the vendors demand."""

import json
from typing import Any

import pytest

from autohands.extensions.provider_anthropic.wire import MessagesEncoder
from autohands.extensions.provider_openai.account import OPENAI, PRESETS
from autohands.extensions.provider_openai.wire_chat import ChatEncoder
from autohands.extensions.provider_openai.wire_responses import ResponsesEncoder
from autohands.protocols.messages import Message, Text, ToolCall, ToolReturn, user
from autohands.sdk.fragments import Encoder
from autohands.testing.vendor_chat import FakeChat
from autohands.testing.vendor_messages import FakeMessages
from autohands.testing.vendor_responses import FakeResponses
from wire.conversation import MESSAGES, golden, request, written

CHAT, RESPONSES, ANTHROPIC = ChatEncoder(), ResponsesEncoder(), MessagesEncoder()
BARE: dict[str, Any] = {"tools": (), "system": ""}

CASES = [
    ("chat", CHAT, request(thinking="low")),
    ("chat_deepseek", ChatEncoder(PRESETS["deepseek"]), request(thinking="high", max_output_tokens=None)),
    ("chat_mistral", ChatEncoder(PRESETS["mistral"]), request(tools=(), messages=MESSAGES[-1:])),
    ("responses", RESPONSES, request(model="gpt-6.1-sol", thinking="high")),
    (
        "responses_plain",
        RESPONSES,
        request(messages=MESSAGES[-1:], max_output_tokens=None, cache_key=None, **BARE),
    ),
    ("messages", ANTHROPIC, request(model="claude-sonnet-5-5")),
    ("messages_budget", ANTHROPIC, request(model="claude-sonnet-4-5", thinking="medium")),
    ("messages_plain", ANTHROPIC, request(model="claude-3-haiku", messages=MESSAGES[:1], **BARE)),
]


@pytest.mark.parametrize(("name", "encoder", "wanted"), CASES, ids=[case[0] for case in CASES])
async def test_a_request_is_the_golden_one(name: str, encoder: Encoder, wanted: Any) -> None:
    assert json.loads(await written(encoder, wanted)) == golden(name)


@pytest.mark.parametrize(
    ("encoder", "vendor"), [(CHAT, FakeChat()), (RESPONSES, FakeResponses()), (ANTHROPIC, FakeMessages())]
)
async def test_the_vendor_takes_every_beginning_of_a_conversation(encoder: Encoder, vendor: Any) -> None:
    for length in (1, 3, 4, 6, 7):
        body = json.loads(await written(encoder, request(model="gpt-5", messages=MESSAGES[:length])))
        assert vendor.check(body) is None, (length, vendor.check(body))


@pytest.mark.parametrize("encoder", [CHAT, RESPONSES], ids=["chat", "responses"])
async def test_a_longer_request_begins_with_the_bytes_of_the_shorter_one(encoder: Encoder) -> None:
    short = await written(encoder, request(messages=MESSAGES[:6]))
    longer = await written(encoder, request())
    shared = short.index(b',"tools":') - 1
    assert shared > 1_000
    assert longer.startswith(short[:shared])


async def test_but_for_its_marks_anthropics_prefix_stays_too() -> None:
    def unmarked(body: bytes) -> bytes:
        return body.replace(b',"cache_control":{"type":"ephemeral"}', b"")

    short = unmarked(await written(ANTHROPIC, request(messages=MESSAGES[:6])))
    longer = unmarked(await written(ANTHROPIC, request()))
    assert longer.startswith(short[: short.index(b'],"max_tokens"')])


@pytest.mark.parametrize("length", range(1, 8))
async def test_at_most_four_cache_marks_and_two_in_the_messages(length: int) -> None:
    body = json.loads(await written(ANTHROPIC, request(messages=MESSAGES[:length])))
    marked = [index for index, message in enumerate(body["messages"]) if "cache_control" in message["content"][-1]]
    users = [index for index, message in enumerate(body["messages"]) if message["role"] == "user"]
    assert marked == users[-2:]
    assert json.dumps(body).count("cache_control") == 2 + len(marked)


@pytest.mark.parametrize(
    ("model", "level", "thinking", "effort"),
    [
        ("claude-3-5-haiku", "high", None, None),
        ("claude-sonnet-4-5", None, None, None),
        ("claude-sonnet-4-5", "low", {"type": "enabled", "budget_tokens": 2_048}, None),
        ("claude-sonnet-4-6", None, None, None),
        ("claude-sonnet-4-6", "off", None, None),
        ("claude-sonnet-4-6", "high", {"type": "adaptive", "display": "summarized"}, "high"),
        ("claude-sonnet-5-5", None, {"type": "adaptive", "display": "summarized"}, None),
        ("claude-sonnet-5-5", "off", {"type": "disabled"}, None),
        ("claude-opus-5-5", "off", {"type": "adaptive", "display": "summarized"}, "low"),
        ("claude-unheard-of", None, None, None),
        ("another-vendors", "high", None, None),
    ],
)
async def test_thinking_is_asked_for_as_the_model_wants_it(
    model: str, level: Any, thinking: dict[str, Any] | None, effort: str | None
) -> None:
    asked = request(model=model, thinking=level, max_output_tokens=8_000, messages=(user("Hi."),))
    body = json.loads(await written(ANTHROPIC, asked))
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


async def test_a_budget_needs_thinking_before_the_last_calls() -> None:
    conversation = (
        user("Go."),
        Message("assistant", (ToolCall("call_1", "glob", {}),)),
        Message("tool", (ToolReturn("call_1", "none"),)),
    )
    asked = request(model="claude-sonnet-4-5", thinking="low", messages=conversation)
    assert "thinking" not in json.loads(await written(ANTHROPIC, asked))
    asked = request(model="claude-sonnet-4-5", thinking="low", messages=MESSAGES[:3])
    assert "thinking" in json.loads(await written(ANTHROPIC, asked))


async def test_a_small_output_leaves_no_room_for_a_budget() -> None:
    asked = request(model="claude-sonnet-4-5", thinking="high", max_output_tokens=1_500, messages=(user("Hi."),))
    assert "thinking" not in json.loads(await written(ANTHROPIC, asked))


async def test_what_anthropic_would_refuse_is_left_out_or_mended() -> None:
    conversation = (
        user("Go."),
        Message("assistant", (Text("  "), ToolCall("functions.glob:0", "glob", {}))),
        Message("tool", (ToolReturn("functions.glob:0", "", failed=True),)),
        Message("assistant", (Text("\n"),)),
        user("On."),
    )
    messages = json.loads(await written(ANTHROPIC, request(messages=conversation)))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "user"]
    assert messages[1]["content"] == [{"type": "tool_use", "id": "functions_glob_0", "name": "glob", "input": {}}]
    assert messages[2]["content"][0]["tool_use_id"] == "functions_glob_0"
    assert messages[2]["content"][0]["content"]


async def test_pr12_a_reply_without_words_leaves_no_empty_message() -> None:
    conversation = (user("Go."), Message("assistant", ()), user("On."))
    for encoder, place in ((CHAT, "messages"), (RESPONSES, "input"), (ANTHROPIC, "messages")):
        body = json.loads(await written(encoder, request(system="", messages=conversation)))
        assert len(body[place]) == 2


def test_presets_differ_in_facts_only() -> None:
    assert PRESETS["azure"].key_header == "api-key"
    assert not PRESETS["mistral"].usage_option
    assert OPENAI.cache_key
    assert not any(quirks.cache_key for name, quirks in PRESETS.items() if name not in ("openai", "azure"))
