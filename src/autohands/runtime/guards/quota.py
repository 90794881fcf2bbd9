"""The quota: how many tools one run may call, over all its attempts."""

from __future__ import annotations

from autohands.protocols.context import ToolContext
from autohands.protocols.guard import Allow, Deny, Verdict
from autohands.protocols.messages import ToolCall
from autohands.protocols.tool import Tool


class Quota:
    """A guard that counts a run's calls, of which `used` were made before, and denies those beyond `most`."""

    def __init__(self, most: int | None, used: int = 0) -> None:
        self._most = most
        self._used = used
        self._counted: set[tuple[int, int]] = set()
        self.exceeded = False

    async def __call__(self, tool: Tool, call: ToolCall, ctx: ToolContext) -> Verdict:
        """Allow the call, or deny it. One that is looked at again counts once."""
        place = (ctx.scope.turn, ctx.scope.index)
        if self._most is None or place in self._counted:
            return Allow()
        if self._used + len(self._counted) >= self._most:
            self.exceeded = True
            return Deny(f"the limit of {self._most:,} tool calls is reached; raise [limits] tool_calls")
        self._counted.add(place)
        return Allow()
