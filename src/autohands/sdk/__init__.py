"""The door for authors of extensions: everything they need, and nothing else of AutoHands."""

from autohands.protocols.agent import Agent
from autohands.protocols.context import ToolContext
from autohands.protocols.errors import ConfigError, NotFound, ProviderError, RetryableError, ToolError
from autohands.protocols.extension import Host
from autohands.protocols.guard import Allow, Ask, Deny
from autohands.protocols.loop import Middleware, Observer, Phase, Source
from autohands.protocols.messages import BlobRef
from autohands.protocols.process import Command
from autohands.protocols.provider import LLMProvider
from autohands.protocols.task import Task
from autohands.protocols.tool import ToolResult
from autohands.sdk.clip import clip_lines
from autohands.sdk.extension import Extension
from autohands.sdk.tool import tool

__all__ = [
    "Agent",
    "Allow",
    "Ask",
    "BlobRef",
    "Command",
    "ConfigError",
    "Deny",
    "Extension",
    "Host",
    "LLMProvider",
    "Middleware",
    "NotFound",
    "Observer",
    "Phase",
    "ProviderError",
    "RetryableError",
    "Source",
    "Task",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "clip_lines",
    "tool",
]
