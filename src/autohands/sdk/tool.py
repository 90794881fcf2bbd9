"""`@tool`: an async function becomes a tool; name, description and JSON Schema come from its signature."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack, get_args, overload

import msgspec

from autohands.protocols.provider import ToolSchema
from autohands.protocols.tool import Arguments, Effect, ToolResult
from autohands.sdk.schema import read_signature

if TYPE_CHECKING:
    from autohands.protocols.context import ToolContext

EFFECTS: tuple[str, ...] = get_args(Effect)
Function: TypeAlias = Callable[..., Awaitable[Any]]


class ToolOptions(TypedDict, total=False):
    """What `@tool` takes.

    `effect` is what a call does to the world, `effect_of(arguments)` refines it per call; `preview(ctx, **arguments)`
    returns the text of the approval, `reconcile(ctx, key, **arguments)` a result if the outcome of a call that a crash
    interrupted can be told, else None. `poll` is for a tool that asks how something stands: after so many seconds the
    same reading call is no repetition.
    """

    name: str
    effect: Effect
    effect_of: Callable[[Arguments], Effect]
    version: str
    timeout_seconds: float
    poll: float
    preview: Callable[..., Awaitable[str]]
    reconcile: Callable[..., Awaitable[ToolResult | None]]


class FunctionTool:
    """A tool made of an async function. Calling it calls the function."""

    def __init__(self, function: Function, options: ToolOptions) -> None:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__}: a tool is an async function")
        if options.get("effect", "irreversible") not in EFFECTS:
            raise TypeError(f"{function.__qualname__}: effect={options['effect']!r} is none of {', '.join(EFFECTS)}")
        parameters = list(inspect.signature(function).parameters.values())
        self._takes_context = bool(parameters) and parameters[0].name == "ctx"
        self._signature = read_signature(function, parameters[self._takes_context :])
        self._function = function
        self._options = options
        self.version = options.get("version", "1")
        self.timeout_seconds = options.get("timeout_seconds", 600.0)
        self.poll = options.get("poll")
        self.schema = ToolSchema(
            options.get("name", function.__name__), self._signature.description, self._signature.schema
        )
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<tool {self.schema.name}>"

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await self._function(*args, **kwargs)

    def effect(self, arguments: Arguments) -> Effect:
        """What a call with these arguments does to the world."""
        if refine := self._options.get("effect_of"):
            return refine(arguments)
        return self._options.get("effect", "irreversible")

    def validate(self, arguments: Arguments) -> Arguments:
        """Arguments converted and completed. Raises `ToolError` naming every problem."""
        return self._signature.convert(arguments)

    async def run(self, ctx: ToolContext, arguments: Arguments) -> ToolResult:
        """Call the function with validated arguments."""
        first = (ctx,) if self._takes_context else ()
        return as_result(await self._function(*first, **arguments))

    async def preview(self, ctx: ToolContext, arguments: Arguments) -> str:
        """What a person is shown: the tool's own preview, else the arguments."""
        if show := self._options.get("preview"):
            return await show(ctx, **arguments)
        return "\n".join(f"{name}: {value!r}" for name, value in arguments.items())

    async def reconcile(self, ctx: ToolContext, key: str, arguments: Arguments) -> ToolResult | None:
        """The result of an interrupted call, if the tool can tell."""
        if settle := self._options.get("reconcile"):
            return await settle(ctx, key, **arguments)
        return None


def as_result(value: Any) -> ToolResult:
    """What a tool function returned, as a result: a `ToolResult` as it is, text as text, the rest as JSON and data."""
    if isinstance(value, ToolResult):
        return value
    if isinstance(value, str):
        return ToolResult(value)
    if value is None:
        return ToolResult("done")
    builtins = msgspec.to_builtins(value)
    return ToolResult(msgspec.json.encode(builtins).decode(), builtins if isinstance(builtins, dict) else None)


@overload
def tool(function: Function, /) -> FunctionTool: ...
@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Function], FunctionTool]: ...
def tool(
    function: Function | None = None, /, **options: Unpack[ToolOptions]
) -> FunctionTool | Callable[[Function], FunctionTool]:
    """Make a tool of an async function `(ctx: ToolContext, …) → str | ToolResult | data`; `ctx` may be left out.

    Without `effect` a call counts as irreversible: it asks before it runs and is never repeated after a crash.

    Raises:
        TypeError: The function is not async, or a parameter's type has no JSON Schema.
    """
    if function is not None:
        return FunctionTool(function, options)
    return lambda decorated: FunctionTool(decorated, options)
