"""The yardstick: the loop that a good engineer writes by hand on aiohttp, lean, and without a journal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias

import aiohttp

from . import work

OnText: TypeAlias = Callable[[str], None]


class HandLoop:
    """Ask, run the tools, repeat."""

    def __init__(self, session: aiohttp.ClientSession, url: str, note_turn: Callable[[], None]) -> None:
        self._session = session
        self._url = f"{url}/chat/completions"
        self._headers = {"Authorization": "Bearer none", "Content-Type": "application/json"}
        self._tools = {function.__name__: function for function in work.tool_functions(note_turn)}
        self._schemas = work.tool_schemas()

    async def run(self, script: str, on_text: OnText) -> str:
        """One conversation; `on_text` hears each piece of text as it comes. Returns the last answer."""
        today = datetime.now(UTC).strftime("%A, %Y-%m-%d")
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": work.SYSTEM},
            {"role": "user", "content": f"{work.PROMPT}\n\nToday is {today} (UTC)."},
        ]
        while True:
            reply = await self._ask(script, messages, on_text)
            messages.append(reply)
            if "tool_calls" not in reply:
                return str(reply["content"])
            for call in reply["tool_calls"]:
                function = call["function"]
                text = await self._tools[function["name"]](**json.loads(function["arguments"]))
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})

    async def _ask(self, script: str, messages: list[dict[str, Any]], on_text: OnText) -> dict[str, Any]:
        body = {
            "model": script,
            "messages": messages,
            "tools": self._schemas,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        said: list[str] = []
        calls: dict[int, dict[str, Any]] = {}
        async with self._session.post(self._url, data=json.dumps(body), headers=self._headers) as response:
            response.raise_for_status()
            async for event in _events(response):
                for choice in event["choices"]:
                    delta = choice["delta"]
                    if text := delta.get("content"):
                        said.append(text)
                        on_text(text)
                    for piece in delta.get("tool_calls", ()):
                        _add(calls, piece)
        reply: dict[str, Any] = {"role": "assistant", "content": "".join(said)}
        if calls:
            reply["tool_calls"] = [calls[index] for index in sorted(calls)]
        return reply


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    rest = b""
    async for data in response.content.iter_any():
        *events, rest = (rest + data).split(b"\n\n")
        for event in events:
            if event.startswith(b"data: ") and event != b"data: [DONE]":
                yield json.loads(event[6:])


def _add(calls: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    index = piece["index"]
    if index in calls:
        calls[index]["function"]["arguments"] += piece["function"]["arguments"]
    else:
        calls[index] = {"id": piece["id"], "type": "function", "function": dict(piece["function"])}


@asynccontextmanager
async def opened(url: str, note_turn: Callable[[], None]) -> AsyncIterator[HandLoop]:
    """The loop with its connections."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        yield HandLoop(session, url, note_turn)
