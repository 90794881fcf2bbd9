"""Answers of the Gemini API: events as deltas. No I/O.

Source: ai.google.dev/api/generate-content (GenerateContentResponse), /gemini-api/docs/thought-signatures, /thinking.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from autohands.extensions.provider_gemini.refusals import read_refusal
from autohands.extensions.provider_gemini.wire import ON_CALL, ON_TEXT
from autohands.protocols.messages import StopReason, Usage
from autohands.sdk.exchange import read_chunk
from autohands.sdk.reply import Deltas, ReplyAssembler, tokens

SHOWN_CHARACTERS = 500

_STOPS: dict[str, StopReason] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    **dict.fromkeys(("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"), "refusal"),
    **dict.fromkeys(("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"), "refusal"),
}
_NO_CALL = frozenset(("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"))
_FAILURES = {"MALFORMED_RESPONSE": "server_error", "MISSING_THOUGHT_SIGNATURE": "invalid_argument"}
_CALLED = re.compile(r"(?:default_api[.:]|call:(?!default_api))([A-Za-z_][A-Za-z0-9_-]{0,63})")


class _FunctionCall(Struct, gc=False):
    id: str | None = None
    name: str | None = None
    args: Any = None


class _Part(Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _FunctionCall | None = None


class _Content(Struct, gc=False):
    parts: list[_Part] | None = None


class _Candidate(Struct, gc=False, rename="camel"):
    index: int | None = None
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None


class _Feedback(Struct, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None


class _Usage(Struct, rename="camel"):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None


class _Chunk(Struct, gc=False, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = None
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)


class Reading:
    """Reads one answer. `names` are the tools' own names, by those that the vendor was told instead.

    Every part with a signature is a block of its own, so that it goes back as it came.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = names or {}
        self._blocks = 0
        self._open = ""

    def decode(self, data: str, reply: ReplyAssembler) -> Deltas:
        """One event of the stream: what it adds to the reply, as deltas."""
        chunk = read_chunk(_CHUNK, data)
        if not reply.progress:
            reply.began(chunk.model_version)
        if chunk.error is not None:
            _fail({"error": chunk.error}, reply)
        if chunk.usage_metadata is not None:
            _count(chunk.usage_metadata, reply)
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            _blocked(chunk.prompt_feedback, reply)
        deltas: Deltas = ()
        for candidate in chunk.candidates or ():
            if not candidate.index:
                deltas += self._candidate(candidate, reply)
        return deltas

    def _candidate(self, candidate: _Candidate, reply: ReplyAssembler) -> Deltas:
        deltas: Deltas = ()
        for part in (candidate.content.parts if candidate.content else None) or ():
            deltas += self._part(part, reply)
        reason = candidate.finish_reason
        if reason in _NO_CALL:
            self._spoil(f"{reason}: {candidate.finish_message or ''}"[:SHOWN_CHARACTERS], reply)
        elif reason in _FAILURES:
            message = candidate.finish_message or f"the answer ended with {reason}"
            reply.fail({"code": _FAILURES[reason], "message": message})
        elif reason:
            reply.stop = _STOPS.get(reason, "unknown")
        return deltas

    def _part(self, part: _Part, reply: ReplyAssembler) -> Deltas:
        text, signature = part.text or "", part.thought_signature
        if part.function_call is not None:
            self._call(part.function_call, signature, reply)
        elif part.thought:
            key = self._block("" if signature else "thought")
            if signature:
                reply.sign(key, signature=signature)
            return reply.thinking(text, key)
        elif signature:
            reply.sign(self._block(""), opaque=signature, id=ON_TEXT if text else None)
            return reply.text(text, self._block("")) if text else ()
        elif text:
            return reply.text(text, self._block("text"))
        return ()

    def _call(self, call: _FunctionCall, signature: str | None, reply: ReplyAssembler) -> None:
        if signature:
            reply.sign(self._block(""), opaque=signature, id=ON_CALL)
        key, name = self._block(""), call.name or ""
        reply.call(key, id=call.id or _made_id(), name=self._names.get(name, name), bare=True)
        if call.args is not None:
            reply.arguments(json.dumps(call.args, ensure_ascii=False), key)

    def _spoil(self, said: str, reply: ReplyAssembler) -> None:
        """The service could not read a call of the model's: none of this answer may run, and the model is told why."""
        calls = [key for key in range(self._blocks + 1) if reply.call_id(key) is not None]
        if not calls:
            key = self._block("")
            found = _CALLED.search(said)
            name = found[1] if found else "unreadable_call"
            reply.call(key, id=_made_id(), name=self._names.get(name, name))
            calls = [key]
        for key in calls:
            reply.arguments(f" {said}", key)
        reply.stop = "tool_calls"

    def _block(self, kind: str) -> int:
        """The block that a part belongs to: the one before, if both are of this kind, or else a new one."""
        if not kind or kind != self._open:
            self._blocks += 1
        self._open = kind
        return self._blocks


def _made_id() -> str:
    """An id for a call without one, known by its form, so that it does not go back to the vendor."""
    return f"gmade_{uuid.uuid4().hex}"


def _blocked(feedback: _Feedback, reply: ReplyAssembler) -> None:
    said = f": {feedback.block_reason_message}" if feedback.block_reason_message else ""
    message = f"the prompt was blocked ({feedback.block_reason}){said}"
    reply.fail({"code": "content_filter", "message": message})


def _fail(found: Any, reply: ReplyAssembler) -> None:
    refusal = read_refusal(found)
    reply.fail(found if refusal is None else {"code": refusal.code, "message": refusal.message})


def _count(usage: _Usage, reply: ReplyAssembler) -> None:
    """Counts so far, of which the latest hold. Thoughts are counted beside the answer, cached tokens in the prompt."""
    known = reply.usage or Usage()
    prompt = tokens(usage.prompt_token_count) + tokens(usage.tool_use_prompt_token_count)
    thoughts = tokens(usage.thoughts_token_count) or known.thinking
    said = tokens(usage.candidates_token_count) or known.output - known.thinking
    reply.usage = Usage(
        input=tokens(prompt) or known.input,
        output=said + thoughts,
        cache_read=tokens(usage.cached_content_token_count) or known.cache_read,
        thinking=thoughts,
    )
