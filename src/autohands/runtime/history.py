"""A session's messages, folded from recorded steps: the same steps give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from autohands.protocols.messages import Message, Part, Reply, Text, ToolCall, ToolReturn, user
from autohands.protocols.records import Step, Word
from autohands.protocols.tool import ToolResult
from autohands.runtime.facts import Fact
from autohands.runtime.prefix import Prefix, Sent
from autohands.runtime.repeats import Repeats
from autohands.runtime.revisions import Revision, Summed, Trimmed, read_revisions, revised
from autohands.runtime.working_set import ENVIRONMENT, WorkingSet

GO_ON = "Your last answer was cut short or empty. Go on exactly where it stopped."
INTERRUPTED = "interrupted: the call did not finish and its outcome was not recorded"

_REPLY = msgspec.json.Decoder(Reply)
_RESULT = msgspec.json.Decoder(ToolResult)
_MESSAGES = msgspec.json.Decoder(tuple[Message, ...])


def is_cut_short(reply: Reply) -> bool:
    """Whether a reply without tool calls is no answer: out of tokens, or nothing said."""
    if reply.tool_calls or reply.stop in ("pause", "refusal"):
        return False
    return reply.stop == "length" or not reply.message.text.strip()


def tool_return(call: ToolCall, result: ToolResult) -> ToolReturn:
    """A tool's result as the answer to its call."""
    return ToolReturn(call.id, result.text, result.images, result.failed)


class History:
    """What a session has said so far, ready to be sent.

    `messages` only grows, but for what a recorded revision does to it. Turns are added as they are recorded, or folded
    from storage by `fold`. `tasks` are those that ended, with how often each was taken up; `origin` is the session
    whose history this one begins with. `sent` is what the model was asked with last, `revisions` counts those of each
    turn, `environment` is what it was told last of the day (None: nothing; empty: it cannot see that any more).
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.work = WorkingSet()
        self.repeats = Repeats()
        self.prefix = Prefix()
        self.sent: Sent | None = None
        self.facts: tuple[Fact, ...] = ()
        self.revisions: dict[int, int] = {}
        self.revised = ""
        self.environment: str | None = None
        self.tasks: dict[str, int] = {}
        self.origin: str | None = None
        self._call_ids: set[str] = set()

    def open(self, messages: Iterable[Message]) -> None:
        """What a task begins with."""
        for message in messages:
            self.messages.append(message)
            self.work.asked(message, opens=True)
            self._surrounded(message)

    def hear(self, words: Iterable[str]) -> None:
        """Words said meanwhile, read before the next turn."""
        if texts := [Text(word) for word in words]:
            self.messages.append(Message("user", tuple(texts)))
            self.work.asked(self.messages[-1])

    def revise(self, turn: int, revision: Revision) -> None:
        """Change what was said, before `turn`."""
        self.messages = revised(self.messages, revision)
        self.revisions[turn] = self.revisions.get(turn, 0) + 1
        if isinstance(revision, Summed):
            self.facts, self.revised = revision.facts, f"the history was summed up before turn {turn}"
            self.repeats.keep({part.call_id for part in self._returns()})
            self.environment = ""
        elif isinstance(revision, Trimmed):
            self.revised = f"old results were shortened before turn {turn}"
            self.repeats.forget(revision.texts)
        else:
            self._surrounded(self.messages[-1])

    def _surrounded(self, message: Message) -> None:
        for part in message.parts:
            if isinstance(part, Text) and part.text.startswith(ENVIRONMENT):
                self.environment = part.text

    def _returns(self) -> list[ToolReturn]:
        return [part for message in self.messages for part in message.parts if isinstance(part, ToolReturn)]

    def reply(self, reply: Reply) -> None:
        """The model's answer. An empty one is left out, because no vendor takes an empty message back."""
        if reply.message.parts:
            self.messages.append(reply.message)
            self._call_ids.update(call.id for call in reply.tool_calls)

    def distinct(self, reply: Reply) -> Reply:
        """The reply, its call ids made ones that this session has not seen: vendors refuse one that comes again."""
        if self._call_ids.isdisjoint(call.id for call in reply.tool_calls):
            return reply
        parts = tuple(self._renamed(part) for part in reply.message.parts)
        return replace(reply, message=replace(reply.message, parts=parts))

    def _renamed(self, part: Part) -> Part:
        if isinstance(part, ToolCall) and part.id in self._call_ids:
            return replace(part, id=f"{part.id}_{len(self.messages)}")
        return part

    def go_on(self) -> None:
        """The model is asked to go on after an answer that was cut short."""
        self.messages.append(user(GO_ON))

    def results(self, calls: Sequence[ToolCall], results: Sequence[ToolResult | None], turn: int = 0) -> None:
        """The results of a turn's calls, in the order asked; None was interrupted."""
        for call, result in zip(calls, results, strict=True):
            if result is not None:
                self.work.did(call, result, turn)
                self.repeats.remember(call, result, turn)
        parts = tuple(
            tool_return(call, result or ToolResult(INTERRUPTED, failed=True))
            for call, result in zip(calls, results, strict=True)
        )
        if parts:
            self.messages.append(Message("tool", parts))


class Turn(msgspec.Struct):
    """One turn as it was recorded: the reply, and a result for each call that has one."""

    number: int
    reply: Reply
    steps: dict[int, Step]

    def result(self, index: int) -> ToolResult | None:
        """The recorded result of call `index` (from 1), or None while it is open."""
        step = self.steps.get(index)
        return _RESULT.decode(step.output) if step and step.output and step.status != "started" else None

    @property
    def results(self) -> list[ToolResult | None]:
        """The results in the order of the calls."""
        return [self.result(index) for index in range(1, len(self.reply.tool_calls) + 1)]


def read_turns(steps: Iterable[Step]) -> tuple[tuple[Message, ...] | None, list[Turn]]:
    """The opening (None before it was recorded) and the turns of a task's steps."""
    opening: tuple[Message, ...] | None = None
    turns: dict[int, Turn] = {}
    for step in sorted(steps, key=lambda each: (each.turn, each.index)):
        if step.kind == "opening" and step.output:
            opening = _MESSAGES.decode(step.output)
        elif step.kind == "model" and step.output:
            turns[step.turn] = Turn(step.turn, _REPLY.decode(step.output), {})
        elif step.kind == "tool" and step.turn in turns:
            turns[step.turn].steps[step.index] = step
    return opening, list(turns.values())


def fold(history: History, steps: Sequence[Step], words: Sequence[Word], *, ended: bool) -> list[Turn]:
    """Add a task's recorded part to `history` and return its turns.

    Of a task that has not `ended`, a last turn with open calls is left without its results: they are still to come. A
    last reply that was cut short is left as it is: `Run.finish` decides again. Revisions touch what stands before the
    words of their turn. Words that no recorded turn has read are
    heard at the end of a task that has; a run that goes on reads them itself.
    """
    opening, turns = read_turns(steps)
    revisions, asked = read_revisions(steps), {step.turn: step for step in steps if step.kind == "model"}
    history.revisions = {}
    history.open(opening or ())
    for position, turn in enumerate(turns):
        for revision in revisions.pop(turn.number, ()):
            history.revise(turn.number, revision)
        history.hear(word.text for word in words if word.turn == turn.number)
        history.sent = Sent.read(asked[turn.number])
        history.reply(turn.reply)
        last = position == len(turns) - 1
        if turn.reply.tool_calls and (ended or not last or None not in turn.results):
            history.results(turn.reply.tool_calls, turn.results, turn.number)
        elif is_cut_short(turn.reply) and not last:
            history.go_on()
    for number, left in sorted(revisions.items()):  # made before a turn that has no reply yet
        for revision in left:
            history.revise(number, revision)
    if ended:
        read = turns[-1].number if turns else 0
        history.hear(word.text for word in words if word.turn is None or word.turn > read)
    return turns
