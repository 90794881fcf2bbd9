"""The composition root: the only place where the parts meet."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypedDict, Unpack

import msgspec

from autohands import storage as storages
from autohands.bridge import RunLoopBridge, decode_event
from autohands.config import Loaded, Paths, Secrets, home_directory, ignored_in, load, load_agents, prepare_home
from autohands.core.discovery import Found, discover
from autohands.core.host import Shared as HostShared
from autohands.core.kernel import Kernel
from autohands.core.registry import Registries, Registry
from autohands.core.workspace import Workspaces
from autohands.protocols.agent import Agent
from autohands.protocols.errors import AutoHandsError, BadRequest, ConfigError, Conflict, NotFound
from autohands.protocols.events import Event, RunFinished, Unknown
from autohands.protocols.extension import Extension
from autohands.protocols.provider import LLMProvider
from autohands.protocols.storage import Journal, Storage
from autohands.protocols.task import END_STATES, Consent, Task, TaskRecord
from autohands.protocols.tool import Tool, ToolResult
from autohands.runloop.loop import RunLoop
from autohands.runloop.queue import TaskQueue
from autohands.runtime.guards.policy import Policy
from autohands.runtime.models import ProviderModels
from autohands.runtime.runtime import AgentRuntime, Settings, Shared
from autohands.sandbox.jobs import JobTable
from autohands.sandbox.profiles import confinement as confinement  # noqa: PLC0414  shown by `doctor`
from autohands.sandbox.spawn import Spawner
from autohands.sdk.http import Http
from autohands.sdk.identity import new_id

MICRO = 1_000_000


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

    def __init__(self, parts: _Parts, found: list[Found]) -> None:
        self._parts = parts
        self.paths = parts.paths
        self.home = parts.paths.home
        self.workspace = parts.workspace
        self.config = parts.loaded.config
        self.loaded = parts.loaded
        self.storage: Storage = parts.storage
        self.journal: Journal = parts.journal
        self.kernel = parts.kernel
        self.found = found
        self.problems = ignored_in(parts.workspace, parts.paths.home)

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
        if task.session is not None:
            await self._take_over(task.session)
        workspace = task.workspace or await self._workspace_of(task.session)
        queue = self._parts.queue if task.queue == "default" else task.queue
        agent = task.agent or self.config.agent
        filled = msgspec.structs.replace(task, agent=agent, workspace=workspace, queue=queue)
        return await self._parts.bridge.submit(filled)

    async def _take_over(self, session: str) -> None:
        """Run here what a program that is gone left unfinished: the next task of the session waits for it."""
        for record in await self.unfinished(session):
            if record.task.queue != self._parts.queue:
                try:
                    await self.resume(record.id)
                except Conflict:  # a living program has it, and what comes behind it
                    return

    async def _workspace_of(self, session: str | None) -> str | None:
        """The workspace of a new session; an old one keeps its own, unless another was asked for by name."""
        if session is not None and not self._parts.workspace_given:
            with contextlib.suppress(NotFound):
                return (await self.storage.session(session)).workspace or str(self.workspace)
        return str(self.workspace)

    def follow(self, task: str, after: int = 0) -> AsyncIterator[bytes]:
        """A task's events as JSON, from its beginning or from the one after `after`."""
        return self._parts.bridge.follow(task, after)

    async def cancel(self, task: str) -> TaskRecord:
        """Cancel a task, wherever it runs. Raises `NotFound`."""
        return await self._parts.bridge.cancel(task)

    async def decide(self, approval: str, *, allow: bool) -> None:
        """Answer an approval. Raises `NotFound`, `Conflict`."""
        await self._parts.bridge.decide(approval, allow=allow)

    async def speak(self, session: str, text: str) -> str | None:
        """Say words to a session whose run is under way. The task that will read them, None if there is none."""
        return await self._parts.bridge.speak(session, text)

    async def unfinished(self, session: str) -> list[TaskRecord]:
        """The tasks of a session (name or id) that have not ended, oldest first; none if there is no such session."""
        try:
            record = await self.storage.session(session)
        except NotFound:
            return []
        tasks = await self.storage.tasks(session=record.id)
        return [task for task in reversed(tasks) if task.state not in END_STATES]

    async def resume(self, task: str, *, consent: Consent | None = None) -> TaskRecord:
        """Take over a task that was interrupted, waits, failed or is dead, and run it here from its recorded steps.

        Raises:
            NotFound: No such task.
            Conflict: It is done, or a living process runs it.
        """
        return await self._parts.bridge.resume(task, self._parts.queue, consent)

    async def call_tool(self, name: str, arguments: dict[str, Any], *, session: str = "direct") -> ToolResult:
        """Call a tool directly; being asked for by the owner is its approval.

        Raises:
            NotFound: No such tool.
            ToolError: The arguments are not what it takes.
        """
        return await self._parts.runtime.call(name, arguments, session, str(self.workspace))


class _Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What an open AutoHands is made of."""

    paths: Paths
    loaded: Loaded
    workspace: Path
    workspace_given: bool
    storage: Storage
    journal: Journal
    kernel: Kernel
    bridge: RunLoopBridge
    runtime: AgentRuntime
    queue: str
    loop: RunLoop


def task_from(prompt: str, **options: Unpack[RunOptions]) -> Task:
    """The task of a prompt with its options."""
    fields: dict[str, Any] = dict(options)
    if (budget := fields.pop("budget_usd", None)) is not None:
        fields["budget_micro_usd"] = round(budget * MICRO)
    return Task(prompt=prompt, **fields)


@asynccontextmanager
async def open(
    home: str | Path | None = None,
    workspace: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    config_file: str | Path | None = None,
    serve: bool = True,
) -> AsyncIterator[Hands]:
    """Open AutoHands in this program, and close it when the block ends: runs that are under way are interrupted, and
    can be resumed.

    `home` is the state directory (`AUTOHANDS_HOME`, else `~/.autohands`), `workspace` the directory that tools see
    (else the current one), `config` what stands above the configuration file, in its shape. Without `serve` nothing is
    loaded or run: for looking at what is recorded.

    Raises:
        ConfigError: The configuration or the state directory is wrong; everything that is wrong is named.
        BadRequest: The workspace is no readable directory.
        StorageUnavailable: The database cannot be opened.
    """
    paths = prepare_home(Path(home).expanduser().absolute() if home else home_directory(os.environ))
    found = discover(paths.home)
    kinds = {each.name: dict if each.extension is None else each.extension.config for each in found}
    file = Path(config_file) if config_file else None
    loaded = load(paths.home, os.environ, file=file, options=config, extensions=kinds)
    root = _workspace(workspace or loaded.config.workspace)
    async with AsyncExitStack() as stack:
        parts = await _compose(stack, paths, loaded, root, given=workspace is not None)
        hands = Hands(parts, found)
        if serve:
            hands.problems += await _start(parts, found)
            await stack.enter_async_context(_serving(parts.loop))
        yield hands


async def _compose(stack: AsyncExitStack, paths: Paths, loaded: Loaded, workspace: Path, *, given: bool) -> _Parts:
    """Build every part and hand it what it needs; `stack` closes them in reverse order."""
    store = await stack.enter_async_context(storages.open(paths.database))
    spawner = await stack.enter_async_context(Spawner(paths.home))
    jobs = await stack.enter_async_context(JobTable(spawner, store))
    workspaces = stack.enter_context(Workspaces())
    secrets, registries = Secrets(os.environ), Registries()
    queue = TaskQueue(store)
    shared = Shared(
        workspace_of=workspaces.get,
        spawn=spawner,
        jobs_of=jobs.of,
        blobs=store.blobs,
        secrets=secrets,
        submit=queue.submit,
    )
    policy = Policy(loaded.config.policy.rule)
    runtime = AgentRuntime(store, registries.snapshot, (policy,), shared, _settings(loaded))
    own_queue = new_id("hands")
    return _Parts(
        paths=paths,
        loaded=loaded,
        workspace=workspace,
        workspace_given=given,
        storage=store,
        journal=store.journal,
        kernel=await _kernel(stack, registries, shared, paths),
        bridge=RunLoopBridge(queue, store, store.journal),
        runtime=runtime,
        queue=own_queue,
        loop=RunLoop(store.engine, runtime.handle, slots=loaded.config.limits.runs, queues=(own_queue,)),
    )


async def _kernel(stack: AsyncExitStack, registries: Registries, shared: Shared, paths: Paths) -> Kernel:
    """The kernel, with what its extensions may use."""
    http = Http()
    stack.push_async_callback(http.close)
    host = HostShared(
        http=http,
        secrets=shared.secrets,
        spawn=shared.spawn,
        blobs=shared.blobs,
        models=ProviderModels(registries.providers),
        state_dir=paths.state,
    )
    return await stack.enter_async_context(Kernel(registries, host))


@asynccontextmanager
async def _serving(loop: RunLoop) -> AsyncIterator[None]:
    """Run the loop beside the block; if it fails, the block is cancelled and the failure raised in its place."""
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(loop.run(), name="run loop")
            try:
                yield
            finally:
                running.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise


def _workspace(path: str | Path | None) -> Path:
    root = Path(path or Path.cwd()).expanduser().resolve()
    if not root.is_dir():
        raise BadRequest(f"the workspace {root} is no directory", hint="pass --workspace DIR, or make it first")
    return root


def _settings(loaded: Loaded) -> Settings:
    limits, budget = loaded.config.limits, loaded.config.budget
    return Settings(
        model=loaded.config.model,
        agent=loaded.config.agent,
        turns=limits.turns,
        time_seconds=limits.time_seconds,
        parallel=limits.parallel,
        output_bytes=limits.output_bytes,
        run_cap=budget.run_micro_usd,
        day_cap=budget.day_micro_usd,
        month_cap=budget.month_micro_usd,
        approval_seconds=loaded.config.policy.approval_seconds,
    )


async def _start(parts: _Parts, found: list[Found]) -> list[str]:
    """Start the extensions and add the owner's agents. Returns a line on each that is wrong."""
    _check_services(found, parts.loaded)
    ready = [each.extension for each in found if each.extension is not None]
    wanted = [(extension, _configuration(extension, parts.loaded)) for extension in ready]
    problems = [f"extension {each.name}: {each.reason}" for each in await parts.kernel.start(wanted)]
    agents, wrong = load_agents(parts.paths.agents, parts.loaded.config.agents)
    for agent in agents:
        try:
            parts.kernel.registries.agents.add("configuration", (agent.name, agent))
        except Conflict as error:
            wrong.append(error.text)
    return problems + wrong


def _configuration(extension: Extension, loaded: Loaded) -> msgspec.Struct | None:
    """An extension's table; a provider that takes further services (`named`) gets those of its kind."""
    name, kind = extension.manifest.name, extension.config
    table = loaded.extensions.get(name)
    services = {
        service: {key: value for key, value in msgspec.structs.asdict(entry).items() if key != "kind" and value}
        for service, entry in loaded.config.providers.items()
        if f"provider-{entry.kind}" == name
    }
    if not services or kind is None:
        return table
    field = next((field for field in msgspec.structs.fields(kind) if field.name == "named"), None)
    if field is None:
        raise ConfigError(f"providers.{next(iter(services))}: {name} takes no further services")
    return msgspec.structs.replace(table or kind(), named=msgspec.convert(services, field.type))


def _check_services(found: list[Found], loaded: Loaded) -> None:
    """Raise `ConfigError` where the configuration names a kind of provider that nobody brings."""
    known = {each.name.removeprefix("provider-") for each in found if each.name.startswith("provider-")}
    for service, entry in loaded.config.providers.items():
        if entry.kind not in known:
            raise ConfigError(f"providers.{service}.kind: {entry.kind!r} is none of {', '.join(sorted(known))}")
