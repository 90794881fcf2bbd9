"""Something the model may call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from autohands.protocols.messages import BlobRef
from autohands.protocols.provider import ToolSchema

if TYPE_CHECKING:
    from autohands.protocols.context import ToolContext

Effect: TypeAlias = Literal["read", "idempotent", "compensable", "irreversible"]
EFFECT_WORDS: dict[Effect, str] = {
    "read": "only looks",
    "idempotent": "changes something; done twice it is as done once",
    "compensable": "changes something; can be undone",
    "irreversible": "may change anything; cannot be undone",
}
Arguments: TypeAlias = dict[str, Any]


class ToolResult(Struct, frozen=True, omit_defaults=True):
    """What a tool answers: text for the model, structured data beside it, images; `failed` if it could not do it.

    `full` is the whole text where `text` has only both ends of it.
    """

    text: str
    data: dict[str, Any] | None = None
    images: tuple[BlobRef, ...] = ()
    failed: bool = False
    full: BlobRef | None = None


class Tool(Protocol):
    """A named function with a JSON Schema and an effect class.

    After a crash `read` and `idempotent` calls may be repeated, `compensable` and `irreversible` ones never unasked.
    """

    @property
    def schema(self) -> ToolSchema:
        """Name, description and parameters, as the model sees them."""
        ...

    @property
    def version(self) -> str:
        """Changes when the tool's behaviour does; part of what an approval is bound to."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """How long a call may take before it is cancelled."""
        ...

    @property
    def poll(self) -> float | None:
        """Seconds after which the same call makes sense again, for a tool that asks how something stands; else None."""
        ...

    def effect(self, arguments: Arguments) -> Effect:
        """What a call with these (valid) arguments does to the world."""
        ...

    def validate(self, arguments: Arguments) -> Arguments:
        """Convert leniently ("5" → 5) and fill in defaults.

        Raises:
            ToolError: Unknown, missing or wrong arguments, each named.
        """
        ...

    async def run(self, ctx: ToolContext, arguments: Arguments) -> ToolResult:
        """Do it, with validated arguments.

        Raises:
            ToolError: It cannot be done; the text is for the model.
        """
        ...

    async def preview(self, ctx: ToolContext, arguments: Arguments) -> str:
        """What a person is shown who must approve the call: argv, diff, target."""
        ...

    async def reconcile(self, ctx: ToolContext, key: str, arguments: Arguments) -> ToolResult | None:
        """After a crash in mid-call: the result if it can be told, else None. `key` is the call's idempotency key."""
        ...
