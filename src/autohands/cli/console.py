"""A person or a script at this process's streams: how work is shown to them, and what they have agreed to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from autohands.cli import work
from autohands.cli.approve import Asker
from autohands.cli.fail import DENIED, DONE, INTERRUPTED
from autohands.cli.follow import Follower, Interrupt
from autohands.cli.lines import Lines
from autohands.cli.options import Given
from autohands.cli.paper import TerminalPaper
from autohands.cli.render import JsonScreen, Screen, SilentScreen, TextScreen
from autohands.protocols.errors import BadRequest, ProviderError
from autohands.protocols.task import Consent, Task, TaskRecord
from autohands.sdk.account import key_name

if TYPE_CHECKING:
    from autohands.hands import Hands


class Console:
    """Carries tasks to their end on standard output and standard error."""

    def __init__(
        self,
        hands: Hands,
        *,
        json: bool,
        yes: bool = False,
        hints: bool = True,
        session: str | None = None,
        shown: bool = True,
    ) -> None:
        self._hands = hands
        self._yes = yes
        self.attended = sys.stdin.isatty() and sys.stderr.isatty() and not json
        self.lines = Lines(sys.stdin.fileno())
        paper = TerminalPaper(sys.stdout, sys.stderr)
        self.screen: Screen = TextScreen(paper, hints=hints, session=session)
        if json:
            self.screen = JsonScreen(sys.stdout.buffer) if shown else SilentScreen()
        work.tell_log(self.screen.tell)
        for problem in work.warnings(hands):
            self.screen.tell(f"warning: {problem}")
        self._person = Asker(paper, self.lines) if self.attended else None
        self._follower = Follower(hands, self.screen, self._person)

    @property
    def consent(self) -> Consent:
        """What a new task may do without being asked about."""
        if self._yes:
            return "workspace"
        return "ask" if self.attended else "deny"

    async def run(self, task: Task, accepted: Callable[[TaskRecord], None] = lambda record: None) -> int:
        """Submit a task and follow it; the exit status it means. `accepted` is told of it first."""
        interrupt = Interrupt()
        with interrupt.armed():
            record = await self._hands.submit(replace(task, attended=self.attended))
            accepted(record)
            return await self._follower.follow(record.id, interrupt)

    async def watch(self, record: TaskRecord) -> int:
        """Follow a task that another program runs; Ctrl-C leaves it alone. The exit status it means."""
        interrupt, follower = Interrupt(), Follower(self._hands, self.screen, self._person, own=False)
        with interrupt.armed():
            status = await interrupt.unless(follower.follow(record.id, Interrupt()))
        if status is None:
            self.screen.tell(f"it goes on without you: autohands task show {record.id}")
        return INTERRUPTED if status is None else status

    async def resume(self, record: TaskRecord) -> int:
        """Take a task up where it stopped; the exit status it means."""
        interrupt = Interrupt()
        with interrupt.armed():
            return await self._follower.resume(record, interrupt, yes=self._yes)

    async def catch_up(self, session: str | None) -> int:
        """Finish what a session has left unfinished, up to one that cannot go on; the status of the last."""
        status = DONE
        for record in await self._hands.unfinished(session) if session else ():
            if (status := await self.resume(record)) in (DENIED, INTERRUPTED):
                break
        return status


async def whole_session(hands: Hands, given: Given) -> Given:
    """What was given, with a session's id in full where only its beginning was. Raises `NotFound`."""
    if given.session is None or not given.session.startswith("ses_"):
        return given
    return replace(given, session=(await hands.storage.session(given.session)).id)


def check_record(given: Given) -> None:
    """Refuse to mix a recording with what a file holds already. Raises `BadRequest`."""
    if given.record and given.record.exists() and given.record.stat().st_size:
        raise BadRequest(f"{given.record} exists", hint="name another file, or delete it")


def check_model(hands: Hands, model: str | None, agent: str) -> str:
    """The model that would answer, as provider/model; a request that none could answer is refused before it is a task.

    Raises:
        NotFound: No such agent or provider. BadRequest: The name is not `provider/model`.
        ProviderError: No model at all, or its provider lacks what it needs.
    """
    from autohands.runtime.models import choose_model

    names = (model, hands.agents.get(agent).model, hands.config.model)
    choice = choose_model(names, hands.providers.snapshot())
    if not choice.provider.available:
        name = choice.provider.name
        raise ProviderError(
            f"{name} cannot be asked: it has no key",
            kind="auth",
            hint=f"set {key_name(name)}, or api_key under [providers.{name}] in the configuration; "
            "`autohands provider list` shows who can be asked, `autohands demo` needs no key",
        )
    return f"{choice.provider.name}/{choice.model}"


def check_workspace(hands: Hands, given: Given) -> None:
    """Refuse work in a directory that cannot be read before it becomes a task; a session may have one of its own.

    Raises:
        BadRequest: The directory cannot be listed or entered.
    """
    if (given.workspace or not given.session) and not os.access(hands.workspace, os.R_OK | os.X_OK):
        hint = "check its owner and permissions, or pass --workspace DIR"
        raise BadRequest(f"the workspace {hands.workspace} cannot be read: Permission denied", hint=hint)
