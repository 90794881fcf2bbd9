"""What can go wrong with an answer: a catalogue of faults by name, for the fake services.

A fault changes either what the model says (`TURN_FAULTS`) or what goes over the wire (`WIRE_FAULTS`); silence lasts
until the client gives up. A script names them in `Turn.faults`.
"""

from __future__ import annotations

import enum
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from email.utils import format_datetime
from typing import TypeAlias

from msgspec import Struct, field, structs

from autohands.protocols.messages import Usage
from autohands.testing.script import ScriptedCall, Turn

EVENTS_BEFORE_THE_CUT = 3
PING_SECONDS = 0.01
TRICKLE_SECONDS = 1.0
HUGE_EVENT_BYTES = 6_000_000
HUGE_ARGUMENT_CHARACTERS = 10_600_000
MANY_CALLS = 200


class Cut(enum.Enum):
    """How a connection ends before its time."""

    RESET = "RST"
    CLOSE = "FIN"
    SILENCE = "nothing more"


class Pause(Struct, frozen=True):
    """Nothing for a while."""

    seconds: float


Action: TypeAlias = bytes | Pause | Cut


class Plan(Struct, frozen=True):
    """What goes back for one request: status, headers and then actions; each run of bytes is a chunk of its own.

    Without `framed` the bytes go out as they are, after the headers given, and the connection closes.
    """

    actions: Iterable[Action]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream; charset=utf-8"})
    framed: bool = True
    head: bool = True


TurnFault: TypeAlias = Callable[[Turn], Turn]
WireFault: TypeAlias = Callable[[Sequence[bytes]], Plan]


def _with_arguments(raw: str, **changes: object) -> TurnFault:
    """Every call's arguments are `raw`; a turn without calls gets one."""

    def change(turn: Turn) -> Turn:
        asked = turn.calls or (ScriptedCall("read_file"),)
        calls = tuple(structs.replace(each, arguments=raw) for each in asked)
        return structs.replace(turn, calls=calls, **changes)

    return change


def _with_calls(*calls: ScriptedCall) -> TurnFault:
    return lambda turn: structs.replace(turn, calls=calls)


def _with_text(text: str, **changes: object) -> TurnFault:
    return lambda turn: structs.replace(turn, text=text, calls=(), **changes)


_READ_IT = Pause(0.03)  # a reset may take with it what the client has not read yet
_READ = {"path": "notes.txt"}
TURN_FAULTS: dict[str, TurnFault] = {
    "invalid-arguments": _with_arguments('{"path": notes.txt}'),
    "truncated-arguments": _with_arguments('{"path": "notes.t'),
    "truncated-arguments-length": _with_arguments('{"path": "notes.t', stop="length"),
    "list-arguments": _with_arguments('["notes.txt"]'),
    "null-arguments": _with_arguments("null"),
    "double-encoded-arguments": _with_arguments(json.dumps(json.dumps(_READ))),
    "trailing-comma": _with_arguments('{"path": "notes.txt",}'),
    "nan-argument": _with_arguments('{"path": NaN}'),
    "surrogate-argument": _with_arguments('{"path": "\\ud800"}'),
    "huge-arguments": _with_arguments(json.dumps({"path": "x" * HUGE_ARGUMENT_CHARACTERS})),
    "empty-arguments-length": _with_arguments("", stop="length"),
    "unknown-tool": _with_calls(ScriptedCall("no_such_tool", _READ)),
    "wrong-case-tool": _with_calls(ScriptedCall("READ_FILE", _READ)),
    "malformed-tool-name": _with_calls(ScriptedCall("read file!", _READ)),
    "nameless-tool": _with_calls(ScriptedCall("", _READ)),
    "duplicate-call": _with_calls(
        ScriptedCall("read_file", _READ, "call_twin"), ScriptedCall("read_file", _READ, "call_twin")
    ),
    "duplicate-id": _with_calls(ScriptedCall("read_file", _READ, "call_twin"), ScriptedCall("glob", {}, "call_twin")),
    "missing-id": _with_calls(ScriptedCall("read_file", _READ, "")),
    "long-id": _with_calls(ScriptedCall("read_file", _READ, "call_" + "9" * 95)),
    "many-calls": _with_calls(*(ScriptedCall("read_file", _READ) for _ in range(MANY_CALLS))),
    "call-in-text": _with_text('{"name": "read_file", "arguments": {"path": "notes.txt"}}'),
    "empty-answer": _with_text(""),
    "blank-answer": _with_text(" \n\t "),
    "only-thinking": _with_text("", thinking="Hmm. Let me think."),
    "refused": _with_text("I cannot help with that.", stop="refusal"),
    "cut-short": _with_text("The answer is", stop="length"),
    "nul-in-text": _with_text("before\0after"),
    "absurd-usage": lambda turn: structs.replace(turn, usage=Usage(input=10**15, output=-5)),
}


def _cut_after(count: int, cut: Cut) -> WireFault:
    return lambda events: Plan([*events[:count], _READ_IT, cut])


def _cut_midway(cut: Cut) -> WireFault:
    return lambda events: Plan([*events[: len(events) * 2 // 3], _READ_IT, cut])


def _mapped(change: Callable[[bytes], bytes]) -> WireFault:
    return lambda events: Plan([change(each) for each in events])


def _split(size: int) -> WireFault:
    def plan(events: Sequence[bytes]) -> Plan:
        whole = b"".join(events)
        return Plan([whole[start : start + size] for start in range(0, len(whole), size)])

    return plan


def _for_ever(piece: bytes, seconds: float, after: int) -> WireFault:
    def plan(events: Sequence[bytes]) -> Plan:
        rest: Iterator[Action] = itertools.chain.from_iterable(itertools.repeat((piece, Pause(seconds))))
        return Plan(itertools.chain(events[:after], rest))

    return plan


def _status(status: int, body: object = "", headers: Mapping[str, str] | None = None) -> WireFault:
    """An answer with an error status; a string body is a web page, anything else JSON."""
    page = isinstance(body, str)
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "text/html" if page else "application/json"
    return lambda events: Plan([data] if data else [], status, {"Content-Type": kind, **(headers or {})})


def _error(message: str, code: str | None = None, kind: str = "invalid_request_error") -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "code": code, "message": message}}


def _late_error(kind: str, message: str, after: int) -> WireFault:
    data = json.dumps({"type": "error", "error": {"type": kind, "code": kind, "message": message}})
    return lambda events: Plan([*events[:after], f"event: error\ndata: {data}\n\n".encode()])


def _retry_after(value: str) -> Mapping[str, str]:
    return {"Retry-After": value}


def _in_a_moment() -> str:
    from datetime import UTC, datetime, timedelta

    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


def _date_plan(events: Sequence[bytes]) -> Plan:
    return _status(429, _RATE, _retry_after(_in_a_moment()))(events)


_RATE = _error("Rate limit reached for requests", "rate_limit_exceeded", "rate_limit_error")
_QUOTA = _error("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota")
_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1></body></html>"
_LONG = "This model's maximum context length is 128000 tokens. However, your messages resulted in 131072 tokens."

WIRE_FAULTS: dict[str, WireFault] = {
    "reset-at-once": lambda events: Plan([Cut.RESET], head=False),
    "close-at-once": lambda events: Plan([Cut.CLOSE], head=False),
    "accept-then-silence": lambda events: Plan([Cut.SILENCE], head=False),
    "headers-then-silence": _cut_after(0, Cut.SILENCE),
    "headers-then-close": _cut_after(0, Cut.CLOSE),
    "one-event-then-silence": _cut_after(1, Cut.SILENCE),
    "events-then-silence": _cut_after(EVENTS_BEFORE_THE_CUT, Cut.SILENCE),
    "events-then-reset": _cut_after(EVENTS_BEFORE_THE_CUT, Cut.RESET),
    "events-then-close": _cut_after(EVENTS_BEFORE_THE_CUT, Cut.CLOSE),
    "events-then-end": lambda events: Plan(events[:EVENTS_BEFORE_THE_CUT]),
    "midway-silence": _cut_midway(Cut.SILENCE),
    "midway-reset": _cut_midway(Cut.RESET),
    "midway-close": _cut_midway(Cut.CLOSE),
    "events-then-garbage": lambda events: Plan([*events[:EVENTS_BEFORE_THE_CUT], b"data: {not json\n\n", *events[3:]]),
    "half-an-event-then-close": lambda events: Plan([*events[:2], events[2][:-9], Cut.CLOSE]),
    "half-an-event-then-reset": lambda events: Plan([*events[:2], events[2][:-9], _READ_IT, Cut.RESET]),
    "missing-last-event": lambda events: Plan(events[:-1]),
    "missing-last-event-open": lambda events: Plan([*events[:-1], Cut.SILENCE]),
    "comments-for-ever": _for_ever(b": ping\n\n", PING_SECONDS, 0),
    "events-then-comments-for-ever": _for_ever(b": ping\n\n", PING_SECONDS, EVENTS_BEFORE_THE_CUT),
    "pings-for-ever": _for_ever(b'event: ping\ndata: {"type":"ping"}\n\n', PING_SECONDS, EVENTS_BEFORE_THE_CUT),
    "empty-deltas-for-ever": _for_ever(
        b'data: {"choices":[{"index":0,"delta":{"content":""}}],"type":"content_block_delta","index":0}\n\n',
        PING_SECONDS,
        1,
    ),
    "trickle": lambda events: Plan(
        step for byte in b"".join(events) for step in (bytes([byte]), Pause(TRICKLE_SECONDS))
    ),
    "every-byte-alone": _split(1),
    "every-three-bytes": _split(3),
    "all-at-once": lambda events: Plan([b"".join(events)]),
    "crlf": _mapped(lambda each: each.replace(b"\n", b"\r\n")),
    "cr": _mapped(lambda each: each.replace(b"\n", b"\r")),
    "crlf-in-bytes": lambda events: _split(1)([each.replace(b"\n", b"\r\n") for each in events]),
    "byte-order-mark": lambda events: Plan([b"\xef\xbb\xbf", *events]),
    "no-space": _mapped(lambda each: each.replace(b"data: ", b"data:")),
    "comments-between": lambda events: Plan([each for event in events for each in (b": keep-alive\n\n", event)]),
    "unknown-events": lambda events: Plan(
        [each for event in events for each in (event, b'event: new\ndata: {"type":"brand.new","delta":{"x":1}}\n\n')]
    ),
    "huge-event": lambda events: Plan([events[0], b"data: " + b"x" * HUGE_EVENT_BYTES, *events[1:]]),
    "late-overload": _late_error("overloaded_error", "Overloaded", EVENTS_BEFORE_THE_CUT),
    "early-overload": _late_error("overloaded_error", "Overloaded", 0),
    "late-refusal": _late_error("content_policy_violation", "This is against our policy.", 1),
    "429": _status(429, _RATE),
    "429-seconds": _status(429, _RATE, _retry_after("2")),
    "429-date": _date_plan,
    "429-zero": _status(429, _RATE, _retry_after("0")),
    "429-negative": _status(429, _RATE, _retry_after("-5")),
    "429-day": _status(429, _RATE, _retry_after("86400")),
    "429-garbage": _status(429, _RATE, _retry_after("soon, perhaps")),
    "429-spend": _status(429, _QUOTA),
    "408": _status(408, _error("Request timed out")),
    "500": _status(500, _error("The server had an error", "server_error", "server_error")),
    "502-page": _status(502, _PAGE),
    "503": _status(503, _error("The engine is overloaded", None, "server_error"), _retry_after("1")),
    "529": _status(529, _error("Overloaded", None, "overloaded_error")),
    "400": _status(400, _error("Invalid value for 'temperature'")),
    "400-overflow": _status(400, _error(_LONG, "context_length_exceeded")),
    "401": _status(401, _error("Incorrect API key provided", "invalid_api_key", "authentication_error")),
    "403": _status(403, _error("Your key lacks this permission", None, "permission_error")),
    "404": _status(404, _error("The model does not exist", "model_not_found", "not_found_error")),
    "302": _status(302, "", {"Location": "https://example.com/login"}),
    "200-page": _status(200, "<html><title>Hotel Wi-Fi</title></html>"),
    "200-error": _status(200, _error("Overloaded", "overloaded_error", "overloaded_error")),
    "not-gzip": lambda events: Plan(events, headers={"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}),
    "wrong-length": lambda events: Plan(
        events, headers={"Content-Type": "text/event-stream", "Content-Length": "9999999"}, framed=False
    ),
    "not-http": lambda events: Plan([b"SSH-2.0-OpenSSH_9.2\r\n"], head=False, framed=False),
}

FAULTS = (*TURN_FAULTS, *WIRE_FAULTS)


def change_turn(turn: Turn, fault: str) -> Turn:
    """What the model says under a fault; a fault of the wire leaves it as it is."""
    return TURN_FAULTS[fault](turn) if fault in TURN_FAULTS else turn


def change_wire(events: Sequence[bytes], fault: str | None) -> Plan:
    """What goes over the wire under a fault; without one, or under one of the turn, the events as they are."""
    return WIRE_FAULTS[fault](events) if fault in WIRE_FAULTS else Plan(events)
