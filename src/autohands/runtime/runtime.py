"""Turns the names in a task into objects, once, and runs the agent loop on them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from autohands.core.context import ExecutionContext
from autohands.core.registry import Generation, Registry, Snapshot
from autohands.protocols.agent import Agent
from autohands.protocols.changes import BackOff, Change, Finish, FixSystem, Park
from autohands.protocols.context import Blobs, Models, Parked, Scope, Secrets, Services, Submit
from autohands.protocols.costs import Used
from autohands.protocols.errors import (
    AutoHandsError,
    Fenced,
    ProviderError,
    RetryableError,
    StorageUnavailable,
)
from autohands.protocols.events import Reason, RunResumed, RunStarted, TaskWaiting
from autohands.protocols.guard import Deny, Guard
from autohands.protocols.messages import ToolCall
from autohands.protocols.process import JobsOf, Spawn
from autohands.protocols.provider import LLMProvider
from autohands.protocols.storage import Lease, Storage
from autohands.protocols.task import OnUnknown, Task, TaskRecord
from autohands.protocols.tool import Arguments, ToolResult
from autohands.protocols.workspace import Workspace
from autohands.runtime.agent_loop import run_agent
from autohands.runtime.approvals import Asking, approvals_of
from autohands.runtime.around import carry_out
from autohands.runtime.binding import Environment
from autohands.runtime.children import Nobody, Offspring, Parent
from autohands.runtime.context import ContextBuilder, opening, opening_step, system_prompt
from autohands.runtime.governor import Caps, Metered, Purse, Quotas, Till
from autohands.runtime.guards.inforce import InForce
from autohands.runtime.guards.leases import WriteLeases
from autohands.runtime.guards.loops import Loops
from autohands.runtime.guards.quota import Quota
from autohands.runtime.history import Turn, fold
from autohands.runtime.models import Choice, ProviderModels, choose_model, recording
from autohands.runtime.replay import read_recorded
from autohands.runtime.results import READ_RESULT, read_result_tool
from autohands.runtime.retry import Retry
from autohands.runtime.run import LIMIT_TEXTS, Parts, Run, RunLimits, end_state
from autohands.runtime.sessions import Session, SessionManager
from autohands.runtime.stopping import Stopping
from autohands.runtime.summary import Summariser
from autohands.runtime.tokens import Ratios
from autohands.runtime.toolbox import Checked, Toolbox, narrowed
from autohands.runtime.waiting import nothing_to_wait_for, wait_for_signal
from autohands.runtime.window import Compacting, Window
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import new_id, now_ms

logger = logging.getLogger(__name__)

_REASONS: dict[str, Reason] = {
    "budget": "budget",
    "calls": "call_limit",
    "tokens": "token_limit",
    "bytes": "byte_limit",
    "overflow": "context_unrecoverable",
}


class Shared(Struct, frozen=True, kw_only=True):
    """What all runs share."""

    workspace_of: Callable[[str], Workspace]
    spawn: Spawn
    jobs_of: JobsOf
    blobs: Blobs
    secrets: Secrets
    submit: Submit
    environment: Environment = dict


class Settings(Struct, frozen=True, kw_only=True):
    """What the configuration says about runs. Money is in micro-USD."""

    model: str | None = None
    agent: str = "general"
    turns: int = 100
    time_seconds: float | None = None
    parallel: int = 8
    output_bytes: int = 32_768
    caps: Caps = Caps(run=5_000_000, day=20_000_000)
    quotas: Quotas = Quotas()
    tool_calls: int | None = None
    asking: Asking = Asking()
    on_unknown: OnUnknown = "tell"
    compacting: Compacting = Compacting()


class AgentRuntime:
    """Runs claimed tasks."""

    def __init__(
        self,
        storage: Storage,
        generation: Callable[[], Generation],
        guards: tuple[Guard, ...],
        shared: Shared,
        settings: Settings,
        stopping: Stopping,
    ) -> None:
        self._storage = storage
        self._generation = generation
        self._force = InForce(guards)
        self._shared = shared
        self._settings = settings
        self._stopping = stopping
        self._sessions = SessionManager(storage)
        self._till = Till(storage, lambda: self._settings.caps)
        self._ratios = Ratios()
        self._read_result = read_result_tool(storage)

    def configure(self, settings: Settings, guards: tuple[Guard, ...]) -> None:
        """What begins from now on follows these; what is under way only where they are stricter."""
        self._settings, self._force.present = settings, guards

    async def handle(self, lease: Lease) -> None:
        """Carry a task as far as it goes: to its end, or to a wait. The engine's handler.

        Raises:
            CancelledError: The task was cancelled or the program stops; the engine knows which.
            StorageUnavailable: Nothing can be recorded.
        """
        run = None
        try:
            with self._stopping.runs(lease.record.id):
                session = await self._sessions.open(lease.record)
                run = await self._prepare(lease, session)
                if await self._run(run):
                    self._sessions.close(session, lease.record)
        except Parked as parked:
            await _park(lease, run, parked)
            return
        except asyncio.CancelledError as error:
            await _settle(lease, run, str(error.args[0]) if error.args else "cancelled")
            raise
        except Fenced:
            logger.warning("task %s runs elsewhere now", lease.record.id)
        except StorageUnavailable:
            raise
        except AutoHandsError as error:
            await _give_up(lease, run, error)
        except Exception as error:  # a task's crash ends the task, not the program
            logger.exception("task %s crashed", lease.record.id)
            await _fail(lease, run, "failed", f"{type(error).__name__}: {error}")
        self._force.over(lease.record.id)

    async def _run(self, run: Run) -> bool:
        """Run the loop to its end, within the time there is. Whether the session's history is what is recorded."""
        limit = asyncio.timeout(run.remaining_seconds)
        try:
            async with limit:
                await asyncio.sleep(0)  # a time that is over is noticed before anything begins
                ended = await run_agent(run)
        except TimeoutError:
            if not limit.expired():
                raise
            ended = await run.end("time_limit", run.said, LIMIT_TEXTS["time_limit"])
        return ended.reason == "done"

    async def _prepare(self, lease: Lease, session: Session) -> Run:
        """Names → objects: agent, provider, toolbox, context, budget."""
        task, generation = lease.record.task, self._generation()
        agent = generation.agents.get(task.agent or self._settings.agent)
        choice = choose_model((task.model, agent.model, self._settings.model), generation.providers)
        provider, model = self._provider(task, choice, generation), choice.provider.describe(choice.model)
        used = await self._storage.used(lease.record.id) if lease.attempt > 1 else Used()
        purse = Purse(lease, self._caps(task), await self._spent(lease), used, self._settings.quotas)
        quota = Quota(self._settings.tool_calls, used.tool_calls)
        toolbox = self._toolbox(generation, agent, lease.record, quota)
        parent = Parent(lease.record, session.record, agent, generation)
        workspace = self._shared.workspace_of(session.record.workspace)
        metered = Metered(provider, purse)
        system = await _system(agent, session, workspace, purse)
        summariser = self._summariser(generation, purse, Choice(provider, choice.model))
        window = Window(model, self._settings.compacting, self._ratios, summariser, lease.note)
        parts = Parts(
            lease=lease,
            storage=self._storage,
            history=session.history,
            builder=ContextBuilder(agent, model, (system, toolbox.schemas), window, lease.emit),
            provider=Retry(metered),
            metered=metered,
            purse=purse,
            toolbox=toolbox,
            approvals=await approvals_of(lease, self._storage, self._settings.asking, self._shared.environment),
            limits=self._limits(task, agent, used),
            quota=quota,
            context=self._context(lease, parent, session.data, workspace, purse),
            on_unknown=task.on_unknown or self._settings.on_unknown,
            recorded=await read_recorded(self._storage, task),
            unchanged=self._settings.compacting.unchanged,
            loops=Loops(toolbox.poll_of),
            leases=WriteLeases(lease, self._storage),
            halt=partial(self._stopping.halt, lease.record.id),
        )
        turns = await self._begin(lease, session, choice.name)
        if parts.recorded is not None:
            parts.recorded.skip(turns)
        return Run(parts, turns)

    def _provider(self, task: Task, choice: Choice, generation: Generation) -> LLMProvider:
        """Who is asked; where that is wished, what it says is written down."""
        return recording(choice.provider, task.record, generation.providers) if task.record else choice.provider

    def _toolbox(self, generation: Generation, agent: Agent, record: TaskRecord, quota: Quota) -> Toolbox:
        """What the run may call; who has any tool may read back what they returned."""
        tools = narrowed(dict(generation.tools.items()), record.task.tools)
        if tools:
            tools[READ_RESULT] = self._read_result
        guards: tuple[Guard, ...] = (*self._force.of(record.id), *generation.guards.values(), quota)
        return Toolbox(tools, (*agent.tools, READ_RESULT), guards)

    def _summariser(self, generation: Generation, purse: Purse, own: Choice) -> Summariser:
        """Who sums up: the configured model, else the run's own; at the run's expense."""
        name = self._settings.compacting.model
        choice = own if name is None else choose_model((name,), generation.providers)
        return Summariser(Retry(Metered(choice.provider, purse)), choice.model)

    async def _begin(self, lease: Lease, session: Session, model: str) -> list[Turn]:
        """Tell that it begins or goes on, and fold what was recorded before."""
        record, turns = lease.record, []
        steps = await self._storage.steps(record.id) if lease.attempt > 1 or record.forked_from else []
        if steps:
            turns = fold(session.history, steps, await self._storage.words(record.id), ended=False)
        if lease.attempt > 1:
            lease.emit(RunResumed(attempt=lease.attempt))
        else:
            lease.emit(RunStarted(agent=record.task.agent, model=model, workspace=session.record.workspace))
        if not any(step.kind == "opening" for step in steps):
            messages = opening(record.task)
            session.history.open(messages)
            lease.note(opening_step(messages))
        return turns

    def _context(
        self, lease: Lease, parent: Parent, data: dict[str, Any], workspace: Workspace, purse: Purse
    ) -> ExecutionContext:
        """What belongs to the run as a whole; each call gets a child of it."""
        record = lease.record

        async def wait(key: str) -> dict[str, Any]:
            return await wait_for_signal(self._storage, record.id, key)

        scope = Scope(
            task=record.id,
            session=record.session,
            agent=parent.agent.name,
            principal=record.task.principal,
            source=record.task.source,
            attempt=lease.attempt,
            labels=record.task.labels,
            deadline=record.task.deadline,
        )
        offspring = Offspring(parent, self._storage, self._shared.submit)
        models = ProviderModels(parent.generation.providers, lambda provider: Retry(Metered(provider, purse)))
        services = self._services(record.session, workspace, models)
        services = replace(services, submit=offspring.submit, children=offspring, wait=wait)
        return ExecutionContext(scope, services, data=data)

    def _services(self, session: str, workspace: Workspace, models: Models) -> Services:
        """What a call outside of any run may use."""
        shared = self._shared
        return Services(
            workspace=workspace,
            spawn=shared.spawn,
            jobs=shared.jobs_of(session),
            blobs=shared.blobs,
            secrets=shared.secrets,
            models=models,
            submit=shared.submit,
            wait=nothing_to_wait_for,
            children=Nobody(),
        )

    def models(self, providers: Registry[LLMProvider] | Snapshot[LLMProvider]) -> Models:
        """The providers as those may call them that belong to no run: within the day's and the month's budget."""
        return ProviderModels(providers, lambda provider: Retry(Metered(provider, self._till)))

    async def call(self, name: str, arguments: Arguments, session: str, workspace: str) -> ToolResult:
        """Call a tool outside of any run. That the owner asks for it is its approval; what is forbidden stays so.

        Raises:
            NotFound: No such tool.
            ToolError: The arguments are not what it takes.
        """
        generation = self._generation()
        tool = generation.tools.get(name)
        checked = Checked(ToolCall("direct", name, arguments), tool, tool.validate(arguments), tool.effect(arguments))
        scope = Scope(task=new_id("call"), session=session, agent="")
        services = self._services(session, self._shared.workspace_of(workspace), self.models(generation.providers))
        ctx = ExecutionContext(scope, services)
        guards = (*self._force.present, *generation.guards.values())
        verdict = await Toolbox({name: tool}, "*", guards).judge(checked, ctx)
        reason = verdict.reason if isinstance(verdict, Deny) else self._stopping.refusal(checked.effect)
        if reason is not None:
            return ToolResult(f"denied: {reason}", failed=True)
        return await carry_out(tool, ctx, checked.arguments, self._settings.output_bytes)

    def _limits(self, task: Task, agent: Agent, used: Used) -> RunLimits:
        deadline = task.deadline
        if self._settings.time_seconds is not None:
            own = now_ms() + int((self._settings.time_seconds - used.worked_seconds) * 1000)
            deadline = own if deadline is None else min(own, deadline)
        turns = task.max_turns or agent.max_turns or self._settings.turns
        return RunLimits(turns, deadline, self._settings.parallel, self._settings.output_bytes)

    def _caps(self, task: Task) -> Caps:
        caps, own = self._settings.caps, task.budget_micro_usd
        return caps if own is None else replace(caps, run=own)

    async def _spent(self, lease: Lease) -> int:
        fresh = lease.attempt == 1 and lease.record.task.parent is None
        return 0 if fresh else await self._storage.spent(lease.record.id)


async def _system(agent: Agent, session: Session, workspace: Workspace, purse: Purse) -> str:
    """The session's system prompt; a new one is kept with the first model call."""
    if session.record.system is not None:
        return session.record.system
    system = await system_prompt(agent, workspace)
    purse.pending.append(FixSystem(session=session.record.id, system=system))
    return system


async def _park(lease: Lease, run: Run | None, parked: Parked) -> None:
    waits = tuple(f"{wait.kind}:{wait.key}" for wait in parked.waits)
    times = [lease.record.task.deadline, *(wait.until for wait in parked.waits)]
    until = min((time for time in times if time is not None), default=None)
    reason = parked.waits[0].kind if parked.waits else "paused"
    park = Park(reason=reason, waits=waits, until=until)
    failpoint("run.parking")
    await lease.commit(*_pending(run), park, event=TaskWaiting(reason=reason, waits=waits))
    failpoint("run.parked")


async def _settle(lease: Lease, run: Run | None, reason: str) -> None:
    """Whoever listens is told of the abort, and what is known to have been spent is booked, whatever stops the run."""
    if run is not None:
        run.abort(reason)
    if pending := _pending(run):
        with contextlib.suppress(AutoHandsError):
            await lease.commit(*pending)


def _pending(run: Run | None) -> list[Change]:
    return run.take_pending() if run is not None else []


async def _give_up(lease: Lease, run: Run | None, error: AutoHandsError) -> None:
    """End the task, or let it wait: a passing fault passes, and nobody waits for this answer here and now."""
    task, text = lease.record.task, error.text if error.hint is None else f"{error.text} ({error.hint})"
    if isinstance(error, RetryableError) and not task.attended and not task.in_own_queue:
        failpoint("run.backing_off")
        with contextlib.suppress(Fenced):
            await lease.commit(*_pending(run), BackOff(error=text, delay_seconds=error.retry_after_seconds))
        return
    reason = _REASONS.get(error.kind, "failed") if isinstance(error, ProviderError) else "failed"
    await _fail(lease, run, reason, text)


async def _fail(lease: Lease, run: Run | None, reason: Reason, error: str) -> None:
    """End the task; what its run has still to settle is settled with it."""
    try:
        if run is not None:
            await run.end(reason, "" if reason == "failed" else run.said, error)
        else:
            await lease.commit(Finish(state=end_state(reason), reason=reason, error=error))
    except Fenced:
        logger.warning("task %s runs elsewhere now", lease.record.id)
