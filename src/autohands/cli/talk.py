"""A conversation, whoever reads the lines: what is said becomes a run, words to the run under way, or a /command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from autohands.cli.console import check_model
from autohands.cli.options import Given, is_session_name
from autohands.cli.render import dollars
from autohands.protocols.errors import AutoHandsError, NotFound
from autohands.protocols.records import SessionRecord
from autohands.protocols.task import Consent, Task, TaskRecord
from autohands.sdk.clip import clip_ends

if TYPE_CHECKING:
    from autohands.hands import Hands

_RECALLED = 600
HELP = {
    "/help": "this list",
    "/new": "a new session",
    "/model": "[PROVIDER/MODEL] the model from here on",
    "/session": "[ID] go to another session, or begin one of that name, or say which this is",
    "/tools": "what the model may call",
    "/cost": "what was spent today, and by this session",
    "/exit": "leave; Ctrl-D does it too",
}


class Talk:
    """Where a conversation stands: its session and its model."""

    def __init__(self, hands: Hands, given: Given, consent: Consent, tell: Callable[[str], None]) -> None:
        self._hands = hands
        self._given = given
        self._consent = consent
        self._tell = tell
        self.left = False

    @property
    def session(self) -> str | None:
        """The session, once there is one."""
        return self._given.session

    @property
    def agent(self) -> str:
        """Who does the work."""
        return self._given.agent or self._hands.config.agent

    def task(self, prompt: str) -> Task:
        """The task that a prompt makes here. Raises what `check_model` raises."""
        self.model()
        return self._given.task(prompt, self.agent, self._consent)

    def model(self) -> str:
        """The model that answers here. Raises what `check_model` raises."""
        return check_model(self._hands, self._given.model, self.agent)

    def accepted(self, record: TaskRecord) -> None:
        """Go on in the session of this task; one that has a name keeps it."""
        self._given = replace(self._given, session=self._given.session or record.session)

    async def greet(self) -> None:
        """Say which model works where, and what was said last in an old session."""
        session = self.session or "a new one"
        self._tell(f"model {self.model()} · workspace {await self._workspace()} · session {session}")
        await self._recall()

    async def _workspace(self) -> str:
        """Where the session works; one that has no place of its own yet, where this program does."""
        record = None if self._given.workspace else await self._record()
        return (record and record.workspace) or str(self._hands.workspace)

    async def _record(self) -> SessionRecord | None:
        """The session, if there is one by now."""
        try:
            return await self._hands.storage.session(self.session) if self.session else None
        except NotFound:
            return None

    async def _recall(self) -> None:
        record = await self._record()
        for task in await self._hands.storage.tasks(session=record.id, states=("done",), limit=1) if record else ():
            self._tell(f"last time you said: {clip_ends(task.task.prompt, _RECALLED)}")
            self._tell(f"and the answer was: {clip_ends(task.text or '', _RECALLED)}")

    async def command(self, line: str) -> None:
        """Carry out a /command; what is wrong with it is told, not raised."""
        name, _, rest = line.partition(" ")
        commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "/help": self._help,
            "/new": self._new,
            "/model": self._model,
            "/session": self._session,
            "/tools": self._tools,
            "/cost": self._cost,
            "/exit": self._exit,
            "/quit": self._exit,
        }
        try:
            await commands.get(name, self._unknown)(rest.strip() if name in commands else name)
        except AutoHandsError as error:
            self._tell(error.text)

    async def _help(self, _: str) -> None:
        self._tell("\n".join(f"{name:9} {what}" for name, what in HELP.items()))

    async def _new(self, _: str) -> None:
        self._given = replace(self._given, session=None)
        self._tell("a new session")

    async def _model(self, name: str) -> None:
        if name:
            check_model(self._hands, name, self.agent)
            self._given = replace(self._given, model=name)
        self._tell(f"model: {self._given.model or self._hands.config.model or 'the first that has a key'}")

    async def _session(self, name: str) -> None:
        if name:
            await self._enter(name)
        self._tell(f"session: {self.session or 'a new one, with the first words'}")
        if name:
            await self._recall()

    async def _enter(self, name: str) -> None:
        """Go to a session; a name that is none yet becomes one with the next words."""
        try:
            found = await self._hands.storage.session(name)
            self._given = replace(self._given, session=found.id if name.startswith("ses_") else name)
        except NotFound:
            if name.startswith("ses_") or not is_session_name(name):
                raise
            self._given = replace(self._given, session=name)
            self._tell("there is none of that name yet; it begins with your next words")

    async def _tools(self, _: str) -> None:
        tools = sorted(self._hands.tools.items())
        self._tell("\n".join(f"{name:18} {tool.schema.description.partition(chr(10))[0]}" for name, tool in tools))

    async def _cost(self, _: str) -> None:
        today = await self._hands.storage.spent()
        record = await self._record()
        tasks = await self._hands.storage.tasks(session=record.id) if record else []
        here = [await self._hands.storage.spent(task.id) for task in tasks]
        self._tell(f"today {dollars(today)}, this session {dollars(sum(here))}")

    async def _exit(self, _: str) -> None:
        self.left = True

    async def _unknown(self, name: str) -> None:
        from difflib import get_close_matches

        near = get_close_matches(name, HELP, 1)
        self._tell(f"there is no {name}; {f'did you mean {near[0]}?' if near else '/help lists what there is'}")
