"""The line editor of `chat`: a prompt that stays below the text that streams, on prompt_toolkit."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent

from autohands.cli import work
from autohands.cli.approve import (
    DOUBT_QUESTION,
    Decision,
    Said,
    question,
    read_answer,
    read_decision,
    show_card,
    show_doubt,
)
from autohands.cli.doubts import Doubt
from autohands.cli.fail import DONE
from autohands.cli.follow import Follower, Interrupt
from autohands.cli.options import Given
from autohands.cli.prompt_paper import PromptPaper
from autohands.cli.render import TextScreen
from autohands.cli.talk import HELP, Talk
from autohands.protocols.errors import AutoHandsError, NotFound
from autohands.protocols.events import ApprovalRequested

if TYPE_CHECKING:
    from autohands.hands import Hands

HISTORY = "chat_history"
MOST_LINES = 1000
_REDRAW_SECONDS = 0.05


class Question:
    """A question that waits for its answer; the lines of the prompt go to it."""

    def __init__(self, paper: PromptPaper) -> None:
        self._paper = paper
        self._read: Callable[[str], Any] | None = None
        self._answer: asyncio.Future[Any] | None = None
        self.text = ""

    @property
    def stands(self) -> bool:
        """Whether somebody is being asked."""
        return self._answer is not None

    async def allows(self, request: ApprovalRequested) -> Said:
        """Show the card and wait for the answer."""
        show_card(self._paper, request)
        said: Said | None = await self._ask(question(request), lambda line: read_answer(self._paper, request, line))
        return said or "no"

    async def decides(self, doubt: Doubt) -> Decision | None:
        """Show what is known of a call and wait for the decision."""
        show_doubt(self._paper, doubt)
        decision: Decision | None = await self._ask(DOUBT_QUESTION, lambda line: read_decision(self._paper, line))
        return decision or None

    async def _ask(self, text: str, read: Callable[[str], Any]) -> Any:
        self.text, self._read, self._answer = text, read, asyncio.get_running_loop().create_future()
        self._paper.redraw()
        try:
            return await self._answer
        finally:
            self._read = self._answer = None
            self._paper.redraw()

    def hear(self, line: str) -> None:
        """A line was typed while the question stood."""
        if self._read is None or self._answer is None or self._answer.done():
            return
        answer = self._read(line)
        if answer is not None:
            self._answer.set_result(answer)


class Editor:
    """Reads lines while runs go on: a line is an answer, a /command, words to the run under way, or a new prompt."""

    def __init__(self, hands: Hands, given: Given) -> None:
        self._hands = hands
        self._yes = given.yes
        self._paper = PromptPaper(sys.stdout)
        self._screen = TextScreen(self._paper, hints=False)
        self._question = Question(self._paper)
        self._follower = Follower(hands, self._screen, self._question)
        self._talk = Talk(hands, given, "workspace" if given.yes else "ask", self._screen.tell)
        self._interrupt: Interrupt | None = None
        self._lines: asyncio.Queue[str] = asyncio.Queue(MOST_LINES)

    async def run(self) -> int:
        """Until the person leaves; a run under way is cancelled then."""
        prompt = self._make_prompt()
        self._paper.app = prompt.app
        self._screen.tell("AutoHands; /help lists commands, Ctrl-C stops a run, Ctrl-D leaves")
        work.tell_log(self._screen.tell)
        await self._talk.greet()
        for problem in work.warnings(self._hands):
            self._screen.tell(f"warning: {problem}")
        async with asyncio.TaskGroup() as runs:
            if self._talk.session:
                runs.create_task(self._carry(self._catch_up))
            taking = runs.create_task(self._take_lines(prompt.app, runs))
            try:
                await prompt.prompt_async(self._message)
            except EOFError:
                taking.cancel()
            self._stop()
        if self._talk.session:
            sys.stderr.write(f"go on: autohands chat --session {self._talk.session}\n")
        return DONE

    async def _take_lines(self, app: Application[str], runs: asyncio.TaskGroup) -> None:
        while not self._talk.left:
            await self._take(await self._lines.get(), runs)
        app.exit(exception=EOFError())

    async def _take(self, line: str, runs: asyncio.TaskGroup) -> None:
        self._paper.note(f"› {line}", "bold")
        if self._question.stands:
            self._question.hear(line)
        elif line.startswith("/"):
            await self._talk.command(line.strip())
        elif line.strip() and not await self._steered(line):
            runs.create_task(self._carry(partial(self._say, line)))

    async def _steered(self, line: str) -> bool:
        """Whether the line went to the run under way."""
        if self._interrupt is None or self._talk.session is None:
            return False
        try:
            return await self._hands.speak(self._talk.session, line) is not None
        except NotFound:  # a name that is to become a session
            return False

    async def _say(self, line: str, interrupt: Interrupt) -> int:
        record = await self._hands.submit(replace(self._talk.task(line), attended=True))
        self._talk.accepted(record)
        return await self._follower.follow(record.id, interrupt)

    async def _catch_up(self, interrupt: Interrupt) -> int:
        for record in await self._hands.unfinished(self._talk.session or ""):
            await self._follower.resume(record, interrupt, yes=self._yes)
        return DONE

    async def _carry(self, work: Callable[[Interrupt], Awaitable[int]]) -> None:
        """Do a piece of work that Ctrl-C stops; what is wrong with it is told."""
        interrupt = self._interrupt = Interrupt()
        try:
            await work(interrupt)
        except AutoHandsError as error:
            self._paper.note(f"✗ {error.text}; {error.hint}" if error.hint else f"✗ {error.text}", "red")
        finally:
            self._interrupt = None if self._interrupt is interrupt else self._interrupt
            self._paper.close()

    def _stop(self) -> None:
        if self._interrupt and not self._interrupt.pressed:
            self._interrupt.press()

    def _message(self) -> StyleAndTextTuples:
        question: StyleAndTextTuples = [("bold", f"{self._question.text} ")]
        return [*self._paper.above(), *(question if self._question.stands else [("bold", "› ")])]

    def _make_prompt(self) -> PromptSession[str]:
        """One prompt for the whole conversation: Enter hands a line over and leaves the prompt where it is."""
        history = self._hands.home / HISTORY
        os.close(os.open(history, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        prompt: PromptSession[str] = PromptSession(
            history=FileHistory(str(history)),
            completer=WordCompleter(list(HELP), sentence=True),
            complete_while_typing=False,
            key_bindings=self._keys(),
            erase_when_done=True,
        )
        prompt.default_buffer.accept_handler = self._accept
        prompt.app.min_redraw_interval = _REDRAW_SECONDS
        return prompt

    def _accept(self, buffer: Buffer) -> bool:
        try:
            self._lines.put_nowait(buffer.text)
        except asyncio.QueueFull:
            self._screen.tell("too many lines wait to be read: this one stays here")
            return True
        return False  # the text does not stay

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("c-c")
        @keys.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            event.app.current_buffer.reset()
            self._stop()

        return keys
