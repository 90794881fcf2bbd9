"""A durable request for work."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from autohands.protocols.context import Labels

TaskState: TypeAlias = Literal[
    "delayed", "blocked", "ready", "running", "waiting", "paused", "done", "failed", "cancelled", "dead"
]
END_STATES: tuple[TaskState, ...] = ("done", "failed", "cancelled", "dead")
Consent: TypeAlias = Literal["ask", "workspace", "deny"]
OnUnknown: TypeAlias = Literal["tell", "ask"]
OWN_QUEUES = "hands_"
PRIORITIES: dict[str, int] = {"low": -10, "normal": 0, "high": 10, "urgent": 60}


class Task(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request for work, as it is submitted.

    Without `agent` the configured one works. `session` is a name (the same name continues the same conversation) or an
    id; without one a new session is made. `priority` is a name of `PRIORITIES` or an integer from -60 to 60, one step
    being worth a minute of waiting. `not_before` and `deadline` are UTC ms; it does not begin before the tasks named in
    `after` have ended. `consent` says what becomes of a call that needs a person: `ask` one, `workspace` allows effects
    inside the workspace, `deny`; where a person is there (`attended`) what `workspace` does not cover is asked.
    `on_unknown` says what becomes of an effect that was interrupted: the model is told (`tell`), or a person decides
    (`ask`). `tools` narrows the agent's tools (names and globs). `reply_address` (`channel:thread`) is where the answer
    goes. `replays` is the task whose recorded results its calls get. Money is integer micro-USD.
    """

    prompt: str = ""
    payload: dict[str, Any] | None = None
    kind: str = "agent"
    agent: str = ""
    model: str | None = None
    session: str | None = None
    workspace: str | None = None
    queue: str = "default"
    priority: int | str = 0
    not_before: int | None = None
    deadline: int | None = None
    after: tuple[str, ...] = ()
    source: str = "api"
    reply_address: str | None = None
    idempotency_key: str | None = None
    correlation: str | None = None
    parent: str | None = None
    principal: str = "owner"
    labels: Labels = Labels()
    consent: Consent = "ask"
    attended: bool = False
    on_unknown: OnUnknown | None = None
    tools: tuple[str, ...] | None = None
    replays: str | None = None
    max_turns: int | None = None
    max_attempts: int = 5
    budget_micro_usd: int | None = None
    record: str | None = None
    id: str = ""

    @property
    def in_own_queue(self) -> bool:
        """Whether it lies in a queue that one program made for itself: nobody else serves it."""
        return self.queue.startswith(OWN_QUEUES)


class TaskRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task as it is stored: the request, and where it stands. Times are UTC ms, `seq` is the order of acceptance.

    `attempt` counts the times it was taken up, `crashes` those that came to nothing; `waits` are `kind:key`. A fork
    names the task and the turn it goes on from.
    """

    id: str
    seq: int
    state: TaskState
    session: str
    task: Task
    attempt: int = 0
    crashes: int = 0
    waits: tuple[str, ...] = ()
    forked_from: str | None = None
    forked_turn: int | None = None
    reason: str | None = None
    control: str | None = None
    error: str | None = None
    text: str | None = None
    root: str = ""
    turns: int = 0
    run_at: int = 0
    created: int = 0
    updated: int = 0
    ended: int | None = None

    @property
    def finished(self) -> bool:
        """Whether it has reached one of its four end states."""
        return self.state in END_STATES


class Child(Struct, frozen=True, kw_only=True):
    """A task as the one that started it sees it. `spent` is in micro-USD: by it and those that it started."""

    record: TaskRecord
    spent: int = 0
