"""Tasks that a run starts, and what it may do to them: with no more rights, tools, time and money than it has."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from autohands.core.registry import Generation
from autohands.protocols.agent import Agent
from autohands.protocols.changes import Cancel, Tell
from autohands.protocols.context import Submit
from autohands.protocols.errors import NotFound, ToolError
from autohands.protocols.records import SessionRecord
from autohands.protocols.storage import Storage
from autohands.protocols.task import Child, Consent, Task, TaskRecord
from autohands.runtime.toolbox import narrowed, within


class Parent(Struct, frozen=True):
    """The run that starts them: its task, its session, its agent, and what there is to choose from."""

    record: TaskRecord
    session: SessionRecord
    agent: Agent
    generation: Generation


class Offspring:
    """A run's children. Implements `protocols.context.Children`."""

    def __init__(self, parent: Parent, storage: Storage, submit: Submit) -> None:
        self._parent = parent
        self._storage = storage
        self._submit = submit

    async def submit(self, task: Task) -> TaskRecord:
        """Start one.

        Raises:
            ToolError: It would line up behind the run itself. NotFound: There is no such agent.
            BadRequest: It makes no sense, or the tree may not grow.
        """
        session = self._parent.session
        if task.session in (session.id, session.name):
            raise ToolError("same_session: it would line up behind this run, which may wait for it: give it another")
        return await self._submit(self._as_child(task))

    async def list(self) -> tuple[Child, ...]:
        """All of them, in the order in which they were started."""
        return tuple(await self._storage.children(self._parent.record.id))

    async def tell(self, child: str, text: str, *, key: str) -> None:
        """Say words to one. Raises `NotFound`, `Conflict`."""
        await self._storage.commit(Tell(task=child, parent=self._parent.record.id, text=text, key=key))

    async def cancel(self, child: str) -> TaskRecord:
        """End one with all that it has started. Raises `NotFound`."""
        mine = self._parent.record.id
        if child not in {each.record.id for each in await self._storage.children(mine)}:
            raise NotFound(f"task {mine} has started no task {child!r}")
        record: TaskRecord = (await self._storage.commit(Cancel(task=child, by=mine)))[0]
        return record

    def _as_child(self, task: Task) -> Task:
        """A task as this run may submit it, to be served where this run is. The model is the run's, unless the child
        or its agent has its own."""
        parent = self._parent.record.task
        agent = self._parent.generation.agents.get(task.agent or self._parent.agent.name)
        order: tuple[Consent, ...] = ("deny", "ask", "workspace")
        return replace(
            task,
            agent=agent.name,
            model=task.model or (None if agent.model else parent.model),
            workspace=task.workspace or self._parent.session.workspace,
            queue=parent.queue,
            priority=task.priority or parent.priority,
            consent=min(task.consent, parent.consent, key=order.index),
            tools=self._tools(task.tools),
            deadline=_lesser(task.deadline, parent.deadline),
            budget_micro_usd=_lesser(task.budget_micro_usd, parent.budget_micro_usd)
            if task.budget_micro_usd is not None
            else None,
        )

    def _tools(self, wanted: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The tools of a child that wants some (None: all): never one that the run itself has not."""
        own, agent = self._parent.record.task.tools, self._parent.agent.tools
        if "*" in agent:
            return within(wanted, own)
        return tuple(
            sorted(narrowed(narrowed(narrowed(dict(self._parent.generation.tools.items()), own), agent), wanted))
        )


def _lesser(one: int | None, other: int | None) -> int | None:
    """The lower of two limits; None is no limit."""
    return min((limit for limit in (one, other) if limit is not None), default=None)


class Nobody:
    """The children of what is no run: none. Implements `protocols.context.Children`."""

    async def list(self) -> tuple[Child, ...]:
        """None."""
        return ()

    async def tell(self, child: str, text: str, *, key: str) -> None:
        """Raises `NotFound`."""
        raise NotFound(f"there is no run that could have started {child!r}")

    async def cancel(self, child: str) -> TaskRecord:
        """Raises `NotFound`."""
        raise NotFound(f"there is no run that could have started {child!r}")
