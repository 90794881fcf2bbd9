"""Requests to the Gemini API against golden files, and against what the vendor demands."""

import json
from typing import Any

import pytest
from msgspec import structs

from autohands.extensions.provider_gemini.wire import NAMES, UNSIGNED, GeminiEncoder
from autohands.protocols.messages import Message, Text, Thinking, ToolCall, ToolReturn, user
from autohands.protocols.provider import Request, ToolSchema
from autohands.sdk.fragments import Writer
from autohands.testing.vendor_gemini import FakeGemini, sign_call
from wire.conversation import MESSAGES, VENDOR, golden, load, request

GEMINI_3, GEMINI_2 = "gemini-3.8-flash", "gemini-2.5-flash"
SIGNED = tuple(
    structs.replace(
        message,
        parts=tuple(
            structs.replace(part, vendor=f"{VENDOR}:{GEMINI_3}")
            if isinstance(part, Thinking) and part.vendor == VENDOR
            else part
            for part in message.parts
        ),
    )
    for message in MESSAGES
)


async def written(wanted: Request) -> bytes:
    return await Writer(GeminiEncoder(), load).write(wanted, f"{VENDOR}:{wanted.model}")


async def body_of(*messages: Message, **changes: Any) -> dict[str, Any]:
    changes = {"model": GEMINI_3, "messages": messages or (user("Hi."),), **changes}
    found: dict[str, Any] = json.loads(await written(request(**changes)))
    assert FakeGemini().check(found) is None, FakeGemini().check(found)
    return found


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("gemini", request(model=GEMINI_3, messages=SIGNED, thinking="high")),
        ("gemini_budget", request(model=GEMINI_2, thinking="medium")),
        (
            "gemini_plain",
            request(model="fake", messages=MESSAGES[-1:], tools=(), system="", max_output_tokens=None, cache_key=None),
        ),
    ],
)
async def test_a_request_is_the_golden_one(name: str, wanted: Request) -> None:
    assert json.loads(await written(wanted)) == golden(name)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("messages", [MESSAGES, SIGNED], ids=["foreign", "own"])
async def test_the_vendor_takes_every_beginning_of_a_conversation(messages: tuple[Message, ...], length: int) -> None:
    await body_of(*messages[:length])


async def test_a_longer_request_begins_with_the_bytes_of_the_shorter_one() -> None:
    short = await written(request(model=GEMINI_3, messages=SIGNED[:5]))
    longer = await written(request(model=GEMINI_3, messages=SIGNED))
    shared = len(short) - len(b"]}]}")
    assert shared > 1_000
    assert longer.startswith(short[:shared])


async def test_roles_alternate_and_neighbours_are_joined() -> None:
    contents = (await body_of(user("a"), user("b"), Message("assistant", (Text("c"),)), user("d")))["contents"]
    assert contents == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
        {"role": "user", "parts": [{"text": "d"}]},
    ]


async def test_a_result_is_named_after_its_call_whatever_it_says() -> None:
    trap = '{"functionResponse":{"name":"x"}},{"functionResponse":{'
    calls = tuple(ToolCall(f"call_{name}", name, {}) for name in ("read_file", "glob"))
    results = (ToolReturn("call_glob", trap), ToolReturn("call_read_file", "ok", failed=True))
    encoded = await written(request(messages=(user("Go."), Message("assistant", calls), Message("tool", results))))
    assert json.loads(encoded)["contents"][2]["parts"] == [
        {"functionResponse": {"name": "glob", "id": "call_glob", "response": {"output": trap}}},
        {"functionResponse": {"name": "read_file", "id": "call_read_file", "response": {"error": "ok"}}},
    ]


def own(*parts: Any, model: str = GEMINI_3) -> Message:
    signed = [
        structs.replace(part, vendor=f"{VENDOR}:{model}") if isinstance(part, Thinking) else part for part in parts
    ]
    return Message("assistant", tuple(signed))


GLOB, GLOB_2 = ToolCall("c1", "glob", {}), ToolCall("c2", "glob", {})
FOUND = Message("tool", (ToolReturn("c1", "x"),))
OF_GLOB = sign_call({"name": "glob"})


async def model_parts(spoken: Message, *after: Message, **changes: Any) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = (await body_of(user("Go."), spoken, *after, **changes))["contents"][1]["parts"]
    return parts


async def test_signatures_go_back_on_the_parts_they_came_on() -> None:
    spoken = own(
        Thinking("Unsigned."),
        Thinking("Signed.", signature="c2ln"),
        Thinking("", opaque="dGV4dA==", id="text"),
        Text("Look:"),
        Thinking("", opaque=OF_GLOB, id="functionCall"),
        GLOB,
    )
    assert await model_parts(spoken, FOUND) == [
        {"text": "Signed.", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "Look:", "thoughtSignature": "dGV4dA=="},
        {"functionCall": {"id": "c1", "name": "glob", "args": {}}, "thoughtSignature": OF_GLOB},
    ]


async def test_a_signature_on_nothing_stands_alone() -> None:
    assert await model_parts(own(Text("Done."), Thinking("", opaque="ZW5k"))) == [
        {"text": "Done."},
        {"text": "", "thoughtSignature": "ZW5k"},
    ]
    lost = own(Thinking("", opaque="Y2FsbA==", id="functionCall"), Text("The call is gone."))
    assert (await model_parts(lost))[0] == {"text": "", "thoughtSignature": "Y2FsbA=="}


@pytest.mark.parametrize(
    ("model", "signatures"), [(GEMINI_3, [UNSIGNED, None]), ("unheard-of", [UNSIGNED, None]), (GEMINI_2, [None, None])]
)
async def test_calls_of_another_model_are_marked_where_the_vendor_wants_signatures(
    model: str, signatures: list[str | None]
) -> None:
    foreign = own(Thinking("", opaque=OF_GLOB, id="functionCall"), GLOB, GLOB_2, model="another")
    results = Message("tool", (ToolReturn("c1", "x"), ToolReturn("c2", "y")))
    wanted = request(model=model, messages=(user("Go."), foreign, results))
    parts = json.loads(await written(wanted))["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == signatures


async def test_a_call_that_could_not_be_read_loses_its_signature() -> None:
    broken = structs.replace(GLOB, invalid="no JSON")
    spoken = own(Thinking("", opaque="c2ln", id="functionCall"), broken)
    assert [part["thoughtSignature"] for part in await model_parts(spoken, FOUND)] == [UNSIGNED]


async def test_mere_thinking_and_blank_text_leave_no_content() -> None:
    body = await body_of(user("Go."), own(Thinking("Hm.", signature="c2ln"), Text(" \n")), user("On."))
    assert len(body["contents"]) == 1


async def test_names_that_the_vendor_forbids_are_renamed_everywhere() -> None:
    tools = (ToolSchema("3d.render", "", {"type": "object", "properties": {"x": {"type": "string"}}}),)
    call = ToolCall("c1", "3d.render", {})
    body = await body_of(user("Go."), Message("assistant", (call,)), FOUND, tools=tools)
    renamed = NAMES.rename("3d.render")
    assert body["tools"][0]["functionDeclarations"][0]["name"] == renamed
    assert body["contents"][1]["parts"][0]["functionCall"]["name"] == renamed
    assert body["contents"][2]["parts"][0]["functionResponse"]["name"] == renamed
    assert NAMES.back(tool.name for tool in tools) == {renamed: "3d.render"}


async def test_a_schema_is_told_in_the_vendors_words() -> None:
    schema = {
        "type": "object",
        "$defs": {"Mode": {"enum": ["r", "w", None]}},
        "properties": {
            "mode": {"$ref": "#/$defs/Mode"},
            "size": {"type": ["integer", "null"], "exclusiveMinimum": 0, "enum": [1, 2]},
            "uri": {"type": "string", "format": "uri"},
            "either": {"oneOf": [{"type": "string"}, {"type": "array"}], "description": "One."},
        },
        "required": ["mode", "gone"],
        "additionalProperties": False,
    }
    body = await body_of(tools=(ToolSchema("f", "Do it.", schema), ToolSchema("g", "", {"type": "object"})))
    first, second = body["tools"][0]["functionDeclarations"]
    assert second == {"name": "g", "description": "g"}
    assert first["parameters"] == {
        "type": "object",
        "properties": {
            "mode": {"enum": ["r", "w"], "nullable": True},
            "size": {"type": "integer", "nullable": True, "description": "(exclusiveMinimum: 0; enum: [1, 2])"},
            "uri": {"type": "string", "description": '(format: "uri")'},
            "either": {
                "anyOf": [
                    {"type": "string", "description": "One."},
                    {"type": "array", "items": {"type": "string"}, "description": "One."},
                ]
            },
        },
        "required": ["mode"],
        "description": '(additionalProperties: false; required: ["gone"])',
    }


@pytest.mark.parametrize(
    ("model", "level", "thinking"),
    [
        ("gemini-2.0-flash", "high", None),
        ("gemini-2.5-pro", None, {"includeThoughts": True}),
        ("gemini-2.5-pro", "off", {"thinkingBudget": 128}),
        ("gemini-2.5-flash", "off", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "low", {"includeThoughts": True, "thinkingBudget": 2_048}),
        ("gemini-2.5-flash-lite", None, None),
        ("gemini-3.8-flash", None, {"includeThoughts": True}),
        ("gemini-3.8-flash", "off", {"thinkingLevel": "low"}),
        ("gemini-3.5-flash", "off", {"thinkingLevel": "minimal"}),
        ("models/gemini-3.1-pro-preview", "medium", {"includeThoughts": True, "thinkingLevel": "medium"}),
        ("gemini-flash-latest", "high", {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemma-4", "high", None),
        ("another-vendors", "high", None),
    ],
)
async def test_thinking_is_asked_for_as_the_model_wants_it(
    model: str, level: Any, thinking: dict[str, Any] | None
) -> None:
    body = await body_of(model=model, thinking=level)
    assert body["generationConfig"].get("thinkingConfig") == thinking
    assert body["generationConfig"]["maxOutputTokens"] == 4_096
