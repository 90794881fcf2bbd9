"""An open AutoHands, as programs use it: submit work, follow it, call tools. Made by `app.open`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack

import msgspec

from autohands.bridge import RunLoopBridge, decode_event
from autohands.config import Loaded, Paths, ignored_in
from autohands.config.schema import Config
from autohands.core.discovery import Found
from autohands.core.kernel import Kernel
from autohands.core.registry import Registry
from autohands.core.stopping import Switch
from autohands.protocols.agent import Agent
from autohands.protocols.channel import Channel
from autohands.protocols.errors import AutoHandsError, ConfigError, Conflict, NotFound
from autohands.protocols.events import Event, RunFinished, Unknown
from autohands.protocols.guard import Guard
from autohands.protocols.loop import DEFAULT, Middleware
from autohands.protocols.provider import LLMProvider
from autohands.protocols.storage import Journal, Storage
from autohands.protocols.task import Consent, Task, TaskRecord, TaskState
from autohands.protocols.tool import Tool, ToolResult
from autohands.protocols.watch import Inspector
from autohands.runloop.deliveries import SourceLimit, SourceRate, task_of_delivery
from autohands.runloop.loop import RunLoop
from autohands.runloop.queue import TaskQueue
from autohands.runtime.approvals import Asking
from autohands.runtime.governor import Caps, Quotas
from autohands.runtime.guards.floor import Floor
from autohands.runtime.guards.policy import Policy
from autohands.runtime.runtime import AgentRuntime, Settings
from autohands.runtime.stopping import Stopping
from autohands.runtime.window import Compacting

MICRO = 1_000_000
MOST_IN_LINE = 100_000
IN_LINE: tuple[TaskState, ...] = ("blocked", "ready", "running", "waiting", "paused")
AT_START = ("extensions", "providers", "agents", "sources", "workspace")
LIMITS_AT_START = ("runs", "depth", "children", "descendants")


class RunOptions(TypedDict, total=False):
    """What a run may be told. `budget_usd` is in US dollars, `deadline` and `not_before` are UTC ms."""

    session: str
    model: str
    agent: str
    consent: Consent
    max_turns: int
    budget_usd: float
    record: str
    priority: int | str
    not_before: int
    deadline: int
    source: str
    idempotency_key: str


class Hands:
    """An open AutoHands: submit work, follow it, call tools. Made by `open`."""

    def __init__(self, parts: Parts, found: list[Found], read: Callable[[], Loaded]) -> None:
        self._parts = parts
        self._read = read
        self.paths = parts.place.paths
        self.home = parts.place.paths.home
        self.workspace = parts.place.workspace
        self.loaded = parts.loaded
        self.storage: Storage = parts.storage
        self.journal: Journal = parts.journal
        self.inspector: Inspector = parts.inspector
        self.kernel = parts.kernel
        self.tasks = parts.tasks
        self.loop = parts.loop
        self.found = found
        self.problems = [*ignored_in(self.workspace, self.home), *filter(None, [self.stopped])]

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.loaded.config

    def read(self) -> Loaded:
        """Read the configuration anew; the one in force stays until `obey`.

        Raises:
            ConfigError: It is wrong, or its file has gone.
        """
        fresh, file = self._read(), self.loaded.file
        if file.table and not fresh.file.table and not file.path.exists():
            raise ConfigError(f"{file.path} is gone", hint="put it back; an empty file takes back what it said")
        return fresh

    def obey(self, loaded: Loaded) -> list[str]:
        """Have what begins from now on follow a configuration. Returns a line on what only a restart takes in."""
        new, old = loaded.config, self.config
        self._parts.runtime.configure(settings_of(new), guards_of(loaded, self.home))
        self.loaded = loaded
        changed = [f"[{name}]" for name in AT_START if getattr(new, name) != getattr(old, name)]
        changed += [f"limits.{key}" for key in LIMITS_AT_START if getattr(new.limits, key) != getattr(old.limits, key)]
        return [f"{each} has changed: it is taken in when the program starts again" for each in changed]

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return policy_of(self.loaded, self.home)

    @property
    def tools(self) -> Registry[Tool]:
        """The tools, by name."""
        return self.kernel.registries.tools

    @property
    def providers(self) -> Registry[LLMProvider]:
        """The model providers, by name."""
        return self.kernel.registries.providers

    @property
    def agents(self) -> Registry[Agent]:
        """The agents, by name."""
        return self.kernel.registries.agents

    def channels(self) -> Mapping[str, Channel]:
        """The places where people talk, by name, as they are now."""
        return dict(self.kernel.registries.channels.items())

    async def run(self, prompt: str, **options: Unpack[RunOptions]) -> AsyncIterator[Event]:
        """Submit a prompt and follow it: every event, ending with `RunFinished`."""
        record = await self.submit(task_from(prompt, **options))
        async for data in self.follow(record.id):
            event = decode_event(data)
            if not isinstance(event, Unknown):
                yield event

    async def ask(self, prompt: str, **options: Unpack[RunOptions]) -> str:
        """Submit a prompt and wait for the answer. Without `consent` what needs a person is denied.

        Raises:
            AutoHandsError: The run did not end with `done`; the text says why.
        """
        options.setdefault("consent", "deny")
        async for event in self.run(prompt, **options):
            if isinstance(event, RunFinished):
                if event.reason != "done":
                    raise AutoHandsError(f"the run ended with {event.reason}: {event.error or event.text}")
                return event.text
        raise AutoHandsError("the run has not ended")

    async def submit(self, task: Task) -> TaskRecord:
        """Accept a task; it is durable when this returns. What was interrupted in its session goes on before it.

        Raises:
            BadRequest: It does not make sense. Conflict: Its idempotency key or its session stands against it.
        """
        if stopped := self.stopped:
            raise Conflict(stopped)
        if task.session is not None:
            await self._take_over(task.session)
        workspace = task.workspace or (str(self.workspace) if self._parts.place.workspace_given else None)
        queue = self._parts.place.queue if task.queue == DEFAULT else task.queue
        agent = task.agent or self.config.agent
        filled = msgspec.structs.replace(task, agent=agent, workspace=workspace, queue=queue)
        return await self._parts.bridge.submit(filled)

    async def deliver(self, webhook: str, delivery: str, payload: dict[str, Any]) -> TaskRecord:
        """Accept what a webhook of the configuration delivers: one run for each delivery id, however often it comes.

        Raises:
            NotFound: There is no such webhook. BadRequest: The id or the payload makes no sense.
            Conflict: The id came with another payload. TooBusy: Too much comes from there; says when to come back.
        """
        entry = self.config.webhooks.get(webhook)
        if entry is None:
            known = ", ".join(self.config.webhooks) or "none"
            raise NotFound(
                f"there is no webhook {webhook!r}", hint=f"[webhooks.NAME] in config.toml; there are: {known}"
            )
        task = task_of_delivery(webhook, delivery, payload, entry.prompt)
        agent = entry.agent or self.config.agent
        return await self.tasks.submit(msgspec.structs.replace(task, agent=agent, session=entry.session))

    async def _take_over(self, session: str) -> None:
        """Run here what a program that is gone left unfinished: the next task of the session waits for it."""
        if self._parts.place.queue == DEFAULT:  # it is taken up by itself, and what is here stays in its queue
            return
        for record in await self.unfinished(session):
            if record.task.queue != self._parts.place.queue:
                try:
                    await self.resume(record.id)
                except Conflict:  # a living program has it, and what comes behind it
                    return

    def follow(self, task: str, after: int = 0) -> AsyncIterator[bytes]:
        """A task's events as JSON, from its beginning or from the one after `after`."""
        return self._parts.bridge.follow(task, after)

    async def cancel(self, task: str) -> TaskRecord:
        """Cancel a task, wherever it runs. Raises `NotFound`."""
        return await self._parts.bridge.cancel(task)

    async def decide(self, approval: str, *, allow: bool, for_session: bool = False) -> None:
        """Answer an approval; with `for_session` such calls are allowed for the rest of the session.

        Raises:
            NotFound: No such approval. Conflict: It was answered otherwise, or has expired.
            BadRequest: No rule is offered for it.
        """
        await self._parts.bridge.decide(approval, allow=allow, for_session=for_session)

    @property
    def stopped(self) -> str | None:
        """Why nothing may happen, None where it may."""
        return self._parts.stopping.reason()

    async def stop_all(self, by: str = "owner") -> None:
        """End everything that runs, and let nothing begin, in any program and after any restart, until `clear_stop`."""
        Switch(self.home).throw(by)
        for task in await self.storage.tasks(states=["running"], limit=10_000):
            with contextlib.suppress(NotFound):
                await self.cancel(task.id)

    def clear_stop(self) -> bool:
        """Let things happen again; whether they were stopped."""
        return Switch(self.home).clear()

    async def speak(self, session: str, text: str) -> str | None:
        """Say words to a session whose run is under way. The task that will read them, None if there is none."""
        return await self._parts.bridge.speak(session, text)

    async def unfinished(self, session: str) -> list[TaskRecord]:
        """The tasks of a session (name or id) that were begun or whose turn it is, and have not ended, oldest first;
        none if there is no such session. What is to begin at a later time stands in nobody's way.

        Raises:
            Conflict: Somebody has asked one of them to rest, and what comes behind it waits.
        """
        try:
            record = await self.storage.session(session)
        except NotFound:
            return []
        tasks = await self.storage.tasks(session=record.id, states=IN_LINE, limit=MOST_IN_LINE)
        for resting in (task for task in tasks if task.state == "paused"):
            raise Conflict(
                f"task {resting.id} of this session is paused, and what comes behind it waits",
                hint=f"autohands task resume {resting.id}",
            )
        return tasks[::-1]

    async def resume(self, task: str, *, consent: Consent | None = None) -> TaskRecord:
        """Take over a task that was interrupted, waits, failed or is dead, and run it here from its recorded steps.

        Raises:
            NotFound: No such task.
            Conflict: It is done, or a living process runs it.
        """
        return await self._parts.bridge.resume(task, self._parts.place.queue, consent)

    async def call_tool(self, name: str, arguments: dict[str, Any], *, session: str = "direct") -> ToolResult:
        """Call a tool directly; being asked for by the owner is its approval.

        Raises:
            NotFound: No such tool.
            ToolError: The arguments are not what it takes.
        """
        return await self._parts.runtime.call(name, arguments, session, str(self.workspace))


class Place(msgspec.Struct, frozen=True):
    """Where an open AutoHands works: its state directory, its workspace (and whether somebody asked for that one),
    and the queue it serves and submits to."""

    paths: Paths
    workspace: Path
    workspace_given: bool
    queue: str


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What an open AutoHands is made of."""

    place: Place
    loaded: Loaded
    storage: Storage
    journal: Journal
    inspector: Inspector
    kernel: Kernel
    bridge: RunLoopBridge
    runtime: AgentRuntime
    stopping: Stopping
    tasks: TaskQueue
    loop: RunLoop


def settings_of(config: Config) -> Settings:
    """What the configuration says about runs."""
    limits, budget = config.limits, config.budget
    return Settings(
        model=config.model,
        agent=config.agent,
        turns=limits.turns,
        time_seconds=limits.time_seconds,
        parallel=limits.parallel,
        output_bytes=limits.output_bytes,
        caps=Caps(
            run=budget.run_micro_usd,
            day=budget.day_micro_usd,
            month=budget.month_micro_usd,
            session=budget.session_micro_usd,
            agent=budget.agent_micro_usd,
            schedule=budget.schedule_micro_usd,
            unknown_price=budget.unknown_micro_usd,
        ),
        quotas=Quotas(model_calls=limits.model_calls, tokens=limits.tokens, sent_bytes=limits.sent_bytes),
        tool_calls=limits.tool_calls,
        asking=Asking(config.policy.approval_seconds, config.policy.approvals_per_hour),
        on_unknown=config.policy.on_unknown,
        compacting=Compacting(**msgspec.structs.asdict(config.compaction)),
    )


def source_rate(config: Config, storage: Storage) -> Middleware:
    """What keeps sources within their limits."""
    limits = [SourceLimit(**msgspec.structs.asdict(each)) for each in config.sources.values()]
    return SourceRate(storage, limits).middleware()


def guards_of(loaded: Loaded, home: Path) -> tuple[Guard, ...]:
    """The guards that the configuration sets up: its policy, above the floor that nothing lifts."""
    return (policy_of(loaded, home),)


def policy_of(loaded: Loaded, home: Path) -> Policy:
    """The policy that a configuration sets up."""
    return Policy(loaded.config.policy.rule, Floor(str(home), (str(loaded.file.path),)))


def task_from(prompt: str, **options: Unpack[RunOptions]) -> Task:
    """The task of a prompt with its options."""
    fields: dict[str, Any] = dict(options)
    if (budget := fields.pop("budget_usd", None)) is not None:
        fields["budget_micro_usd"] = round(budget * MICRO)
    return Task(prompt=prompt, **fields)
