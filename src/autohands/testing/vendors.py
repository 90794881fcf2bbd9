"""Fake model services on loopback that speak the vendors' protocols byte by byte, and check every request they get.

Started as a process of its own it prints its address as a line of JSON, and stops when its standard input closes:

    python -m autohands.testing.vendors --port 0 --script turns.json --log requests.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO

import msgspec
from msgspec import Struct

from autohands.testing import vendor_chat, vendor_gemini, vendor_messages, vendor_ollama
from autohands.testing.chaos import FAULTS, Action, Cut, Pause, Plan, change_turn, change_wire
from autohands.testing.script import Turn, read_script, say
from autohands.testing.vendor_ark import FakeArkChat, FakeArkResponses
from autohands.testing.vendor_chat import FakeChat
from autohands.testing.vendor_gemini import FakeGemini
from autohands.testing.vendor_messages import FakeMessages
from autohands.testing.vendor_ollama import FakeOllama
from autohands.testing.vendor_responses import FakeResponses

SHORTEST_PAUSE_SECONDS = 0.001
LONGEST_HEAD_BYTES = 65_536
MODELS = ("fake-small", "fake-large")
OVER = say("The script is over.")


class Speaker(Protocol):
    """One API of a service."""

    name: str
    path: str

    def check(self, body: dict[str, Any]) -> str | None:
        """What is wrong with a request."""
        ...

    def turn(self, body: dict[str, Any]) -> int:
        """How often the model has spoken before."""
        ...

    def opening(self, body: dict[str, Any]) -> str:
        """What tells this conversation from others."""
        ...

    def render(self, turn: Turn, number: int, body: dict[str, Any]) -> list[bytes]:
        """The events of an answer."""
        ...


class Seen(Struct, frozen=True, kw_only=True):
    """One request, and what became of it. `turn` counts the model's turns before it, `attempt` the tries at it."""

    api: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: int
    turn: int = 0
    attempt: int = 1
    fault: str | None = None
    problem: str | None = None


Script = Sequence[Turn] | Callable[[Seen], Turn]


class FakeVendors:
    """OpenAI (both APIs), Ark, Anthropic, Gemini and Ollama on one port of loopback, as an async context manager.

    What it says is `script[n]` for a request in whose conversation the model has spoken n times, or what `script` makes
    of the request. `requests` holds all that came; `problems` what the vendors would have refused (it refuses it, too).
    `time_scale` shortens the pauses of faults.
    """

    def __init__(
        self,
        script: Script,
        *,
        port: int = 0,
        log: TextIO | None = None,
        needs_key: bool = True,
        time_scale: float = 1.0,
    ) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        if not callable(script):
            _check_faults(script)
        self._script = script
        self._port = port
        self._log = log
        self._needs_key = needs_key
        self._time_scale = time_scale
        self._attempts: Counter[tuple[str, int]] = Counter()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._speakers: tuple[Speaker, ...] = (
            *(FakeArkChat(), FakeArkResponses(), FakeChat(), FakeResponses()),
            *(FakeMessages(), FakeGemini(), FakeOllama()),
        )

    async def __aenter__(self) -> FakeVendors:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=LONGEST_HEAD_BYTES)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            await self._server.wait_closed()
            await asyncio.sleep(0)

    @property
    def url(self) -> str:
        """The address without a path: Anthropic's base URL."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def openai_url(self) -> str:
        """OpenAI's base URL."""
        return f"{self.url}/v1"

    @property
    def gemini_url(self) -> str:
        """Gemini's base URL."""
        return f"{self.url}/v1beta"

    @property
    def ark_url(self) -> str:
        """Ark's base URL."""
        return f"{self.url}/api/v3"

    @property
    def ollama_url(self) -> str:
        """Ollama's base URL."""
        return f"{self.url}{vendor_ollama.ROOT}"

    @property
    def problems(self) -> list[str]:
        """What was wrong with the requests."""
        return [seen.problem for seen in self.requests if seen.problem is not None]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        self._writers.add(writer)
        try:
            while (request := await _read_request(reader)) is not None:
                if not await self._answer(*request, connection, reader, writer):
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(
        self,
        line: str,
        headers: dict[str, str],
        body: bytes,
        connection: int,
        reader: asyncio.StreamReader,
        writer: Any,
    ) -> bool:
        path = line.split(" ")[1].partition("?")[0]
        seen, plan = self._plan(path, headers, body, connection)
        self.requests.append(seen)
        if self._log is not None:
            self._log.write(msgspec.json.encode(seen).decode() + "\n")
            self._log.flush()
        return await _Sender(reader, writer, self._time_scale).send(plan)

    def _plan(self, path: str, headers: dict[str, str], body: bytes, connection: int) -> tuple[Seen, Plan]:
        seen = Seen(api="none", path=path, headers=headers, body=None, connection=connection)
        speaker = next((each for each in self._speakers if path.endswith(each.path)), None)
        if speaker is None:
            return self._list(seen)
        seen = msgspec.structs.replace(seen, api=speaker.name, body=_decoded(body))
        problem = self._header_problem(speaker, headers) or (
            speaker.check(seen.body) if isinstance(seen.body, dict) else "We could not parse the JSON body"
        )
        if problem is not None:
            status = 401 if "key" in problem and not headers.get("authorization") else 400
            return msgspec.structs.replace(seen, problem=problem), _refusal(speaker, status, problem)
        return self._speak(speaker, seen)

    def _speak(self, speaker: Speaker, seen: Seen) -> tuple[Seen, Plan]:
        number = speaker.turn(seen.body)
        place = (f"{speaker.name} {speaker.opening(seen.body)}", number)
        self._attempts[place] += 1
        seen = msgspec.structs.replace(seen, turn=number, attempt=self._attempts[place])
        turn = self._turn(seen)
        fault = turn.faults[seen.attempt - 1] if seen.attempt <= len(turn.faults) else None
        events = speaker.render(change_turn(turn, fault) if fault else turn, number, seen.body)
        plan = change_wire(events, fault)
        if speaker.name == "ollama" and plan.headers == Plan(()).headers:
            plan = msgspec.structs.replace(plan, headers={"Content-Type": "application/x-ndjson"})
        if turn.pause_seconds and fault is None:
            plan = Plan([step for each in events for step in (each, Pause(turn.pause_seconds))])
        return msgspec.structs.replace(seen, fault=fault), plan

    def _turn(self, seen: Seen) -> Turn:
        if callable(self._script):
            return self._script(seen)
        return self._script[seen.turn] if seen.turn < len(self._script) else OVER

    def _header_problem(self, speaker: Speaker, headers: dict[str, str]) -> str | None:
        if not headers.get("content-type", "").startswith("application/json"):
            return "the content type must be application/json"
        if speaker.name == "messages":
            if "anthropic-version" not in headers:
                return "anthropic-version: header is required"
            return None if headers.get("x-api-key") or not self._needs_key else "x-api-key header is required"
        if speaker.name == "gemini":
            return None if headers.get("x-goog-api-key") or not self._needs_key else "there is no API key"
        if speaker.name == "ollama":
            return None
        key = headers.get("authorization", "").startswith("Bearer ") or headers.get("api-key")
        return None if key or not self._needs_key else "You didn't provide an API key."

    def _list(self, seen: Seen) -> tuple[Seen, Plan]:
        if (told := vendor_ollama.listing(seen.path, MODELS)) is not None:
            return msgspec.structs.replace(seen, api="models"), _json(200, told)
        if seen.path.endswith("/v1beta/models"):
            return msgspec.structs.replace(seen, api="models"), _json(200, vendor_gemini.listing(MODELS))
        if seen.path.endswith("/models"):
            listing = {"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]}
            return msgspec.structs.replace(seen, api="models"), _json(200, listing)
        problem = f"Unknown request URL: {seen.path}"
        return msgspec.structs.replace(seen, problem=problem), _json(404, vendor_chat.error_body(404, "", problem))


class _Sender:
    """Carries out a plan on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, time_scale: float) -> None:
        self._reader = reader
        self._writer = writer
        self._time_scale = time_scale

    async def send(self, plan: Plan) -> bool:
        """Whether the connection can take another request."""
        if plan.head:
            framing = {"Transfer-Encoding": "chunked"} if plan.framed else {"Connection": "close"}
            lines = [f"HTTP/1.1 {plan.status} {HTTPStatus(plan.status).phrase if plan.status != 529 else 'Overloaded'}"]
            lines += [f"{name}: {value}" for name, value in {**plan.headers, **framing}.items()]
            self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        for action in plan.actions:
            if not await self._act(action, framed=plan.framed):
                return False
        if plan.framed:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()
        return plan.framed

    async def _act(self, action: Action, *, framed: bool) -> bool:
        match action:
            case bytes():
                self._writer.write(b"%x\r\n%s\r\n" % (len(action), action) if framed else action)
            case Pause(seconds):
                await self._writer.drain()
                return seconds * self._time_scale < SHORTEST_PAUSE_SECONDS or not await self._left(
                    seconds * self._time_scale
                )
            case Cut.RESET:
                await self._writer.drain()
                linger = struct.pack("ii", 1, 0)
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._writer.transport.abort()
                return False
            case Cut.CLOSE:
                return False
            case Cut.SILENCE:
                await self._left(None)
                return False
        return True

    async def _left(self, seconds: float | None) -> bool:
        """Whether the client has hung up, waiting for it at most `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return not await self._reader.read(1)
        return False


def _check_faults(script: Sequence[Turn]) -> None:
    unknown = {fault for turn in script for fault in turn.faults} - set(FAULTS)
    if unknown:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head.decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
    return line, headers, await reader.readexactly(int(headers.get("content-length", 0)))


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _json(status: int, body: object) -> Plan:
    return Plan([json.dumps(body).encode()], status, {"Content-Type": "application/json"})


def _refusal(speaker: Speaker, status: int, problem: str) -> Plan:
    bodies = {"messages": vendor_messages.error_body, "gemini": vendor_gemini.error_body}
    words = bodies.get(speaker.name, vendor_chat.error_body)
    return _json(status, words(status, "invalid_request_error", problem))


async def _until_told(script: list[Turn], port: int, log: TextIO | None) -> None:
    async with FakeVendors(script, port=port, log=log) as vendors:
        told = {"port": int(vendors.url.rpartition(":")[2]), "url": vendors.url, "openai_url": vendors.openai_url}
        print(json.dumps(told), flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a script until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m autohands.testing.vendors", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path, required=True, help="a JSON list of turns")
    parser.add_argument("--log", type=Path, help="a file to which each request is added as a line of JSON")
    given = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(given.log.open("a")) if given.log else None
        asyncio.run(_until_told(read_script(given.script), given.port, log))


if __name__ == "__main__":
    main()
