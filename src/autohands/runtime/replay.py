"""Replay: a run whose calls get what the calls of an earlier one returned, and which carries out nothing itself."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

import msgspec

from autohands.protocols.errors import NotFound
from autohands.protocols.messages import ToolCall
from autohands.protocols.records import Step
from autohands.protocols.storage import Storage
from autohands.protocols.task import Task
from autohands.protocols.tool import ToolResult
from autohands.runtime.history import Turn, read_turns

NOT_REPLAYED = (
    "not_replayed: this run repeats an earlier one with its recorded results, in which there was no such call; "
    "nothing is carried out in a replay, only looked at"
)
_CANONICAL = msgspec.json.Encoder(order="sorted")


class Recorded:
    """What a task's calls returned, by tool and arguments; each result is given once, in the order of the calls."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._results: defaultdict[bytes, deque[ToolResult]] = defaultdict(deque)
        for turn in read_turns(steps)[1]:
            for call, result in zip(turn.reply.tool_calls, turn.results, strict=True):
                if result is not None and call.invalid is None:
                    self._results[_key(call)].append(result)

    def take(self, call: ToolCall) -> ToolResult | None:
        """The next result of such a call; None if it was not made, or not so often."""
        results = None if call.invalid is not None else self._results.get(_key(call))
        return results.popleft() if results else None

    def skip(self, turns: Sequence[Turn]) -> None:
        """Pass over what the calls of these turns of the new run were given before it was interrupted."""
        for turn in turns:
            for call, result in zip(turn.reply.tool_calls, turn.results, strict=True):
                if result is not None:
                    self.take(call)


async def read_recorded(storage: Storage, task: Task) -> Recorded | None:
    """What the calls of the task returned that `task` replays; None if it replays none.

    Raises:
        NotFound: There is no such task, or it belongs to somebody else.
    """
    if task.replays is None:
        return None
    replayed = await storage.task(task.replays)
    if replayed.task.principal != task.principal:
        raise NotFound(f"there is no task {task.replays!r} to replay")
    return Recorded(await storage.steps(replayed.id))


def _key(call: ToolCall) -> bytes:
    return _CANONICAL.encode([call.name, call.arguments])
