"""Who acts in a trial: a model that follows the order's script, and tools that tell the sink what they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from zlib import crc32

from autohands.protocols.channel import Incoming, Outgoing
from autohands.protocols.context import ToolContext
from autohands.protocols.errors import Conflict, NotFound, RetryableError
from autohands.protocols.messages import Message
from autohands.protocols.provider import Delta, ModelInfo, Replied, Request, TextPiece
from autohands.protocols.task import Task
from autohands.protocols.tool import Effect, ToolResult
from autohands.sdk.tool import FunctionTool, tool
from autohands.testing.script import ScriptedCall, Turn, to_reply
from faults.plan import Order
from faults.sink import Sink, read_sink

EFFECTS: dict[str, Effect] = {
    "look": "read",
    "put": "idempotent",
    "change": "compensable",
    "spend": "irreversible",
    "ask_first": "irreversible",
    "can_tell": "irreversible",
}
ONCE = ("change", "spend", "ask_first", "can_tell", "shell")
ALLOWED = ("put", "change", "spend", "can_tell", "hand_over", "wait_for", "exec")
Body = Callable[[ToolContext, int], Awaitable[str]]


class Model:
    """A provider that asks for the tools of the script, turn by turn. Implements `LLMProvider`."""

    name = "model"
    available = True
    default_model = "model"

    def __init__(self, sink: Sink, sink_path: Path) -> None:
        self._sink = sink
        self._path = sink_path

    def describe(self, model: str) -> ModelInfo:
        """It costs something, so that the ledger has work."""
        return ModelInfo(name=model, context_tokens=200_000, output_tokens=1_000, input_price=1, output_price=1)

    async def models(self) -> list[ModelInfo]:
        """Its one model."""
        return [self.describe("model")]

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The reply for this turn."""
        order, number = _where(request.messages)
        key = f"{order.key}:{number}:0"
        self._sink.write("model", key, "begin")
        turn = self._turn(order, number)
        for word in turn.text.split():
            await asyncio.sleep(_pause(key))
            yield TextPiece(f"{word} ")
            if "stumble" in order.script[number - 1 : number] and self._first(f"stumble {key}"):
                raise RetryableError("the service has hiccups")
        self._sink.write("model", key, "end")
        yield Replied(to_reply(turn, number))

    def _first(self, mark: str) -> bool:
        """Whether this has not happened before."""
        if f"{mark} begin" in self._path.read_text():
            return False
        self._sink.write("stumble", mark.removeprefix("stumble "), "begin")
        return True

    def _turn(self, order: Order, number: int) -> Turn:
        if number > len(order.script):
            return Turn(text=f"{order.key} is done.")
        calls = []
        for index, name in enumerate(order.script[number - 1].split("+"), 1):
            if name == "stumble":
                calls.append(ScriptedCall("look", {"n": number}))
            elif name == "shell":
                key = f"{order.key}:{number}:{index}"
                told = "; ".join(f"echo shell {key} {phase} >> {self._path}" for phase in ("begin", "end"))
                calls.append(ScriptedCall("exec", {"command": told}))
            else:
                calls.append(ScriptedCall(name, {"n": number}))
        return Turn(text="I will.", calls=tuple(calls))


def _where(messages: Sequence[Message]) -> tuple[Order, int]:
    """The order that a request is about, and which of its turns this is."""
    last = max(at for at, message in enumerate(messages) if message.role == "user" and message.text[:3] == "do ")
    _, key, script, *_ = messages[last].text.split()
    number = 1 + sum(message.role == "assistant" for message in messages[last:])
    return Order(key=key, session="", script=tuple(script.split(","))), number


def _pause(key: str) -> float:
    """A few milliseconds, the same for the same key: windows in which to be killed."""
    return crc32(key.encode()) % 4 / 1000


def make_tools(sink: Sink, path: Path, broken: str) -> list[FunctionTool]:
    """Every tool of the cast. With `mislabelled`, `spend` says that it may be repeated, which is not true."""

    async def settle(ctx: ToolContext, key: str, n: int) -> ToolResult | None:
        del ctx, n
        ended = any(entry.key == key and entry.phase == "end" for entry in read_sink(path))
        return ToolResult("it was done") if ended else None

    def named(name: str) -> FunctionTool:
        async def act(ctx: ToolContext, n: int) -> str:
            """Do something that the sink sees."""
            sink.write(name, ctx.scope.key, "begin")
            await asyncio.sleep(_pause(ctx.scope.key))
            sink.write(name, ctx.scope.key, "end")
            return f"{name} {n}"

        effect: Effect = "idempotent" if (name, broken) == ("spend", "mislabelled") else EFFECTS[name]
        if name == "can_tell":
            return tool(name=name, effect=effect, reconcile=settle)(act)
        return tool(name=name, effect=effect)(act)

    return [*(named(name) for name in EFFECTS), *_waiting_tools(sink)]


def _waiting_tools(sink: Sink) -> list[FunctionTool]:
    @tool(effect="idempotent")
    async def hand_over(ctx: ToolContext, n: int) -> str:
        """Have a task of its own do it, and wait for what it says."""
        sink.write("hand_over", ctx.scope.key, "begin")
        order = Order(key=f"child-{ctx.scope.key.replace(':', '-')}", session="", script=("look", "spend"))
        child = await ctx.submit(Task(prompt=order.prompt, model="model/model", max_attempts=99))
        outcome = await ctx.wait(f"child:{child.id}")
        return f"{n} {outcome['state']}"

    @tool(effect="idempotent")
    async def wait_for(ctx: ToolContext, n: int) -> str:
        """Wait for a signal."""
        sink.write("wait_for", ctx.scope.key, "begin")
        payload = await ctx.wait(f"go-{n}")
        return str(payload["said"])

    @tool(effect="read")
    async def see(ctx: ToolContext, n: int) -> ToolResult:
        """Look at a picture."""
        sink.write("see", ctx.scope.key, "begin")
        return ToolResult(f"seen {n}", images=(await ctx.blobs.put(ctx.scope.key.encode(), "image/png"),))

    return [hand_over, wait_for, see]


class Recorder:
    """A channel that tells the sink what it delivers, and can say whether it did. Implements `Channel`."""

    idempotent = False

    def __init__(self, sink: Sink, path: Path) -> None:
        self._sink = sink
        self._path = path

    async def receive(self) -> AsyncIterator[Incoming]:
        """Nobody says anything."""
        await asyncio.Event().wait()
        yield Incoming(id="", peer="", thread="", text="")

    async def send(self, message: Outgoing) -> str:
        """Deliver, once the moment of beginning is over. In the thread `trouble` the first time comes to nothing."""
        self._sink.write("send", message.key, "begin")
        if message.thread == "trouble" and f"trouble {message.key} begin" not in self._path.read_text():
            self._sink.write("trouble", message.key, "begin")
            raise Conflict("the connection broke")
        await asyncio.sleep(_pause(message.key))
        self._sink.write("send", message.key, "end")
        return message.key

    async def find(self, key: str) -> str | None:
        """What was delivered ended; of the thread `trouble` nothing is known."""
        if f"trouble {key} begin" in self._path.read_text():
            return None
        if f"send {key} end" not in self._path.read_text():
            raise NotFound(f"{key} was not delivered")
        return key
