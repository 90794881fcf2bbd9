"""The job that both sides do: the same prompt, system prompt, tools and results."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

ToolFunction: TypeAlias = Callable[..., Awaitable[str]]

SYSTEM = (
    "You are a careful worker on the files of one folder. Look before you change, change as little as you can, "
    "and say in one sentence what you did."
)
PROMPT = "Go through the notes part by part and keep what matters."
TOOL_OF = {"read": "look", "effect": "keep", "hold": "look"}


def arguments(number: int) -> dict[str, Any]:
    """The arguments of call `number`, from 1."""
    return {"part": f"notes/part-{number}.txt", "offset": number, "text": "the quick brown fox"}


def result(number: int) -> str:
    """What the tools answer to call `number`: about 300 characters."""
    return f"notes/part-{number}.txt, line {number}: " + "the quick brown fox jumps over the lazy dog. " * 6


def tool_functions(note_turn: Callable[[], None]) -> tuple[ToolFunction, ToolFunction]:
    """The two tools, `look` and `keep`; each call is noted by `note_turn`."""

    async def look(part: str, offset: int, text: str = "") -> str:
        """Look at one part of the notes.

        Args:
            part: Which one to look at.
            offset: First line to return, counting from 1.
            text: What it is about.
        """
        note_turn()
        return result(offset)

    async def keep(part: str, offset: int, text: str = "") -> str:
        """Keep one part of the notes.

        Args:
            part: Which one to keep it in.
            offset: Line to put it at, counting from 1.
            text: What it is about.
        """
        note_turn()
        return result(offset)

    return look, keep


def tool_schemas() -> list[dict[str, Any]]:
    """The same tools as Chat Completions wants them."""
    return [
        _schema(
            "look", "Look at one part of the notes.", "Which one to look at.", "First line to return, counting from 1."
        ),
        _schema(
            "keep", "Keep one part of the notes.", "Which one to keep it in.", "Line to put it at, counting from 1."
        ),
    ]


def _schema(name: str, description: str, path: str, offset: str) -> dict[str, Any]:
    properties = {
        "part": {"type": "string", "description": path},
        "offset": {"type": "integer", "description": offset},
        "text": {"type": "string", "description": "What it is about.", "default": ""},
    }
    parameters = {
        "type": "object",
        "properties": properties,
        "required": ["part", "offset"],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
