"""What is stored, as those see it who ask: steps, sessions, approvals, words."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from autohands.protocols.messages import Usage

StepStatus: TypeAlias = Literal["started", "done", "failed", "unknown"]


class Step(Struct, frozen=True, kw_only=True):
    """One recorded act of a run, key (task, turn, index): index 0 is the model call, 1… the tool calls of its reply.

    Turn 0 index 0 holds what the run began with; -1, -2 … are what was changed in the history before the model was
    asked (kind `context`, in that order). `output` is the JSON of a `Reply`, a `ToolResult`, a list of messages or a
    change of the history. `input_hash` is that of an effect's tool, arguments and tool version; of a model call what it
    was asked with. `attempt` counts how often the body of an effect was begun, and it may begin 1 + `retries` times: so
    often a person said so. A call that was `denied` did not run. Times are UTC ms.
    """

    turn: int
    index: int
    kind: Literal["opening", "context", "model", "tool"]
    name: str
    status: StepStatus
    output: bytes | None = None
    idempotent: bool = True
    input_hash: bytes | None = None
    usage: Usage | None = None
    started: int = 0
    ended: int | None = None
    attempt: int = 1
    retries: int = 0
    denied: bool = False

    @property
    def begins_again(self) -> bool:
        """Whether a person said that this effect, whose outcome is unknown, is to begin once more."""
        return self.status == "unknown" and self.output is None and self.attempt <= self.retries

    @property
    def undecided(self) -> bool:
        """Whether a person is to say what became of this effect: nobody knows, and the model was not told so."""
        return self.status == "unknown" and self.output is None and self.attempt > self.retries


class SessionRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One conversation. `system` is its system prompt, fixed when it began so that the prefix stays byte-identical.

    `attempts` counts how often its `tasks` were taken up: who knows another number has missed something. A fork's
    history begins with that of `forked_from`, a session: what its tasks before the task `forked_before` (a `seq`) said.
    """

    id: str
    name: str
    principal: str
    workspace: str
    agent: str = "general"
    title: str = ""
    system: str | None = None
    tasks: int = 0
    attempts: int = 0
    forked_from: str | None = None
    forked_before: int | None = None
    created: int = 0
    updated: int = 0


class ApprovalRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question to a person, bound by `digest` to the bytes of one call and of what it names. Times are UTC ms.

    `rule` is the narrowest rule of the policy that would allow such calls; None where none is offered.
    """

    id: str
    task: str
    turn: int
    index: int
    tool: str
    effect: str
    preview: str
    digest: bytes
    state: Literal["pending", "allow", "deny", "expired"] = "pending"
    by: str = ""
    reason: str = ""
    created: int = 0
    expires: int | None = None
    rule: dict[str, Any] | None = None


class Hold(Struct, frozen=True):
    """Who writes where: a path from the workspace's root, the task and its session's name, since when (UTC ms)."""

    path: str
    task: str
    session: str
    since: int


class Word(Struct, frozen=True, kw_only=True):
    """Something said to a session while its run was under way. `turn` is the turn that read it."""

    id: int
    text: str
    turn: int | None = None
