"""The fake Gemini service refuses what Gemini refuses."""

from typing import Any

import aiohttp
import pytest

from autohands.testing.vendor_gemini import UNSIGNED, FakeGemini, sign_call
from autohands.testing.vendors import FakeVendors


def gemini(*contents: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"contents": [said("x"), *contents], **fields}


def said(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text, **more}]}


def called(*names: str, signature: str | None = UNSIGNED) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"functionCall": {"name": name, "id": name, "args": {}}} for name in names]
    if signature is not None:
        parts[0]["thoughtSignature"] = signature
    return {"role": "model", "parts": parts}


def answered(*names: str) -> dict[str, Any]:
    parts = [{"functionResponse": {"name": name, "id": name, "response": {"output": "x"}}} for name in names]
    return {"role": "user", "parts": parts}


def declared(parameters: Any = None, name: str = "f", **more: Any) -> dict[str, Any]:
    function = {"name": name, "description": "d", **({} if parameters is None else {"parameters": parameters}), **more}
    return gemini(tools=[{"functionDeclarations": [function]}])


def taking(schema: dict[str, Any]) -> dict[str, Any]:
    return declared({"type": "object", "properties": {"x": schema}})


PICTURE = {"inlineData": {"mimeType": "image/gif", "data": ""}}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (gemini(), None),
        (gemini(called("f", "g"), answered("f", "g")), None),
        (gemini(called("f", signature=sign_call({"name": "f"})), answered("f")), None),
        (gemini(called("f", signature=None), answered("f"), said("x", "model"), said("y")), None),
        (declared(), None),
        (gemini(unheardOf=1), 'Unknown name "unheardOf"'),
        ({"contents": []}, "contents is not specified"),
        (gemini(systemInstruction={"parts": []}), "must not be empty"),
        (gemini({"role": "tool", "parts": [{"text": "x"}]}), "valid role"),
        (gemini({"role": "model", "parts": []}), "must not be empty"),
        (gemini({"role": "model", "parts": [{}]}), "must have one initialized field"),
        (gemini({"role": "model", "parts": [{"text": "x", "functionCall": {}}]}), "must have one initialized field"),
        (gemini({"role": "model", "parts": [{"riddle": "x"}]}), 'Unknown name "riddle"'),
        (gemini({"role": "model", "parts": answered("f")["parts"]}), "does not belong to the role model"),
        (gemini(said("x", "model"), {"role": "user", "parts": called("f")["parts"]}), "role user"),
        (gemini(said("y")), "alternate"),
        (gemini(called("f")), "followed by function response"),
        (gemini(called("f", "g"), answered("f")), "number of function response parts"),
        (gemini(said("x", "model"), answered("f")), "number of function response parts"),
        (gemini(called("f"), answered("g")), "matches the function call"),
        (gemini(called("a b"), answered("a b")), "Invalid function name"),
        (gemini(called("f"), {"role": "user", "parts": [{"functionResponse": {"name": "f"}}]}), "response are needed"),
        (gemini(said("x", "model"), {"role": "user", "parts": [PICTURE]}), "Unsupported MIME type"),
        (
            gemini(
                called("f"),
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}, "parts": [PICTURE]}}]},
            ),
            "Unsupported MIME type",
        ),
        (gemini(called("f", signature=None), answered("f")), "missing a thought_signature"),
        (gemini(called("f", signature="c2ln"), answered("f")), "Thought signature is not valid"),
        (declared(name="3d"), "Must start with a letter"),
        (declared(strict=True), 'Unknown name "strict"'),
        (declared(description=""), "a description is needed"),
        (declared({"type": "object", "properties": {}}), "should be non-empty"),
        (taking({"type": "string", "minLength": 1}), None),
        (taking({"type": "string", "const": "x"}), 'Unknown name "const"'),
        (taking({"type": ["string"]}), "Invalid value at"),
        (taking({"type": "array"}), "items: missing field"),
        (taking({"type": "array", "items": {"type": "integer", "enum": [1]}}), "TYPE_STRING"),
        (taking({"type": "string", "format": "uri"}), "only 'enum' and 'date-time'"),
        (taking({"type": "object", "required": ["y"]}), "property is not defined"),
        (taking({"anyOf": [{"type": "string"}], "description": "x"}), "only field set"),
        (taking({"anyOf": [{"oneOf": []}]}), 'Unknown name "oneOf"'),
        (gemini(generationConfig={"max_tokens": 1}), 'Unknown name "max_tokens"'),
        (gemini(generationConfig={"maxOutputTokens": 0}), "must be positive"),
        (gemini(generationConfig={"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "low"}}), "only one of"),
        (gemini(generationConfig={"thinkingConfig": {"thinkingLevel": "deep"}}), "Invalid value"),
    ],
)
def test_it_refuses_what_gemini_refuses(body: dict[str, Any], problem: str | None) -> None:
    found = FakeGemini().check(body)
    assert found is None if problem is None else problem in (found or ""), found


async def test_a_bad_request_is_refused_in_googles_words_and_kept() -> None:
    async with FakeVendors([]) as vendors, aiohttp.ClientSession() as session:
        url = f"{vendors.gemini_url}/models/m:streamGenerateContent?alt=sse"
        async with session.post(url, json=gemini(nonsense=1), headers={"x-goog-api-key": "k"}) as response:
            told = await response.json()
            assert (response.status, told["error"]["status"]) == (400, "INVALID_ARGUMENT")
        async with session.post(url, json=gemini()) as response:
            told = await response.json()
            assert (response.status, told["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert len(vendors.problems) == len(vendors.requests) == 2
