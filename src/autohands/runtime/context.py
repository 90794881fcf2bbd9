"""What the model sees: a system prompt fixed for the session, tools in a stable order, history that only grows.

Nothing that changes with time stands in front of the history, so that a turn's prefix is byte-identical with the last
one's; the day and the like go into the task's opening message.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from autohands.protocols.agent import Agent
from autohands.protocols.errors import ToolError
from autohands.protocols.messages import Message, Text
from autohands.protocols.provider import ModelInfo, Request, ToolSchema
from autohands.protocols.task import Task
from autohands.protocols.workspace import Workspace
from autohands.runtime.history import History

INSTRUCTION_FILES = ("AGENTS.md", "CLAUDE.md")
INSTRUCTION_BYTES = 32_768
MAX_OUTPUT_TOKENS = 32_000


async def system_prompt(agent: Agent, workspace: Workspace) -> str:
    """The system prompt of a session: the agent's own, and the workspace's instructions as data."""
    parts = [
        agent.prompt.strip(),
        f"Workspace: {workspace.root}\nPaths are relative to it; nothing outside can be reached.",
    ]
    for name in INSTRUCTION_FILES:
        if await workspace.stat(name) is None:
            continue
        try:
            content = await workspace.read_bytes(name, INSTRUCTION_BYTES)
        except ToolError:
            continue
        text = content.data.decode("utf-8", "replace").replace("\0", "")
        parts.append(f'<workspace_instructions file="{name}">\n{text}\n</workspace_instructions>')
    return "\n\n".join(parts)


def opening(task: Task, now: datetime | None = None) -> tuple[Message, ...]:
    """What a task begins with: the prompt, and behind it what is true only now."""
    today = (now or datetime.now(UTC)).strftime("%A, %Y-%m-%d")
    prompt = task.prompt
    if task.payload is not None:
        prompt += "\n\n" + msgspec.json.format(msgspec.json.encode(task.payload)).decode()
    return (Message("user", (Text(prompt), Text(f"<environment>Today is {today} (UTC).</environment>"))),)


class ContextBuilder:
    """Builds each turn's request for one run."""

    def __init__(self, agent: Agent, model: ModelInfo, system: str, tools: tuple[ToolSchema, ...]) -> None:
        self._agent = agent
        self._model = model
        self._system = system
        self._tools = tools
        self.fixed_characters = len(system) + sum(
            len(tool.description) + len(msgspec.json.encode(tool.parameters)) for tool in tools
        )

    async def build(self, history: History, session: str) -> Request:
        """The request for the next turn."""
        request = Request(
            model=self._model.name,
            system=self._system,
            messages=tuple(history.messages),
            tools=self._tools,
            max_output_tokens=min(self._model.output_tokens, MAX_OUTPUT_TOKENS),
            cache_key=session,
        )
        return await self._agent.prepare(request) if self._agent.prepare else request
