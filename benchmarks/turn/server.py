"""A fake Chat Completions service in a process of its own: what it costs is never in a measured process.

The model's name is the script: `read-10` asks for the tool `look` ten times and then answers, `effect-10` for `keep`,
`hold-10` is `read-10` with its last answer held back until `/release`, `answer-200` says 200 chunks at once, and
`drip-200` the same with each chunk at least 1 ms after the one before. A request is refused where the result of the
tool call before it is missing.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from functools import cache

from . import work

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"x-request-id: req_0123456789abcdef\r\nTransfer-Encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"
GAP_SECONDS = 0.001
_MODEL = re.compile(rb'"model":\s*"([a-z]+)-(\d+)"')
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


def _event(delta: dict[str, object], finish: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "fake",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _close(finish: str, output: int) -> bytes:
    usage = {"prompt_tokens": 900, "completion_tokens": output, "total_tokens": 900 + output}
    last = {"id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "choices": [], "usage": usage}
    return _event({}, finish) + b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n"


def _piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@cache
def _call(tool: str, number: int) -> bytes:
    """A turn that says a few words and asks for one tool call, its arguments in pieces."""
    function = {"name": tool, "arguments": ""}
    call = {"index": 0, "id": f"call_{number:04}", "type": "function", "function": function}
    arguments = json.dumps(work.arguments(number))
    pieces = [arguments[start : start + 12] for start in range(0, len(arguments), 12)]
    body = _event({"role": "assistant", "content": ""})
    body += b"".join(_event({"content": word}) for word in ("I will", " go on with", f" part {number}."))
    body += _event({"tool_calls": [call]})
    body += b"".join(_event({"tool_calls": [{"index": 0, "function": {"arguments": each}}]}) for each in pieces)
    return HEAD + _piece(body + _close("tool_calls", 30)) + END


@cache
def _words(count: int) -> tuple[bytes, ...]:
    return tuple(_event({"content": f"word{number} "}) for number in range(count))


@cache
def _answer(count: int) -> bytes:
    body = _event({"role": "assistant", "content": ""}) + b"".join(_words(count)) + _close("stop", count)
    return HEAD + _piece(body) + END


class Service:
    """What all connections share: counters, and the answers that are held back."""

    def __init__(self) -> None:
        self.requests = 0
        self.request_bytes = 0
        self.held: list[asyncio.Transport] = []

    def control(self, path: bytes) -> bytes:
        """`/stats`: what was counted since the last time; `/release`: let go of what is held."""
        answer = json.dumps({"requests": self.requests, "bytes": self.request_bytes, "held": len(self.held)}).encode()
        if path.startswith(b"/stats"):
            self.requests = self.request_bytes = 0
        else:
            for transport in self.held:
                transport.write(_answer(4))
            self.held.clear()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            len(answer),
            answer,
        )


class Connection(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, bodies with a length."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._received = b""
        self._drip: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._drip:
            self._drip.cancel()

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = _LENGTH.search(self._received, 0, head_end)
        end = head_end + 4 + (int(length[1]) if length else 0)
        if len(self._received) < end:
            return
        head, body, self._received = self._received[:head_end], self._received[head_end + 4 : end], self._received[end:]
        if head.startswith(b"POST") and b"/chat/completions" in head[: head.index(b"\r\n")]:
            self._complete(body)
        else:
            self._transport.write(self._service.control(head.split(b" ", 2)[1]))

    def _complete(self, body: bytes) -> None:
        self._service.requests += 1
        self._service.request_bytes += len(body)
        match = _MODEL.search(body)
        script, count = (match[1].decode(), int(match[2])) if match else ("unknown", 0)
        if script == "answer":
            self._transport.write(_answer(count))
        elif script == "drip":
            self._transport.write(HEAD + _piece(_event({"role": "assistant", "content": ""})))
            self._say(_words(count), 0)
        elif script in work.TOOL_OF:
            self._script(script, count, body)
        else:
            self._refuse(f"no script {script!r}")

    def _script(self, script: str, count: int, body: bytes) -> None:
        done = body.count(b'"tool_call_id"')
        if done and work.result(done).encode() not in body:
            self._refuse(f"the result of call {done} is missing")
        elif done < count:
            self._transport.write(_call(work.TOOL_OF[script], done + 1))
        elif script == "hold":
            self._service.held.append(self._transport)
        else:
            self._transport.write(_answer(4))

    def _say(self, words: tuple[bytes, ...], position: int) -> None:
        if position == len(words):
            self._transport.write(_piece(_close("stop", position)) + END)
            return
        self._transport.write(_piece(words[position]))
        self._drip = asyncio.get_running_loop().call_later(GAP_SECONDS, self._say, words, position + 1)

    def _refuse(self, text: str) -> None:
        body = json.dumps({"error": {"message": text, "type": "invalid_request_error"}}).encode()
        self._transport.write(
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )


async def serve() -> None:
    """Print the port, then serve until standard input ends."""
    service = Service()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
