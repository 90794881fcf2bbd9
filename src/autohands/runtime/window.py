"""Keeps a history within what its model takes: old results make room first, then old turns, summed up and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from autohands.protocols.messages import Message, ToolReturn, Usage
from autohands.protocols.provider import ModelInfo
from autohands.protocols.records import Step
from autohands.runtime.history import History
from autohands.runtime.revisions import Revision, Summed, Trimmed
from autohands.runtime.summary import Summariser, compose, gathered
from autohands.runtime.tokens import Ratios, credible
from autohands.sdk.clip import clip_ends
from autohands.sdk.identity import now_ms

MAX_OUTPUT_TOKENS = 32_000
WORTH_WHILE = 0.1
WORTH_A_MISS = 0.35
"""Trimming breaks the cached prefix as a summary does: it must free enough for a good many turns."""
STALE_BYTES, STALE_KEPT = 1_000, 240
LARGE_BYTES, LARGE_KEPT = 4_000, 2_000
MOST_ROOM, LEAST_ROOM = 48_000, 4_000
LEFT_OUT = "[{size:,} bytes of this result are left out to save room; read_result shows them: call {call!r}]"
UNCOUNTED_SLACK, COUNTED_SLACK = 1.5, 1.1

Note: TypeAlias = Callable[[Step], None]
_ENCODER = msgspec.json.Encoder()


class Compacting(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says: who sums up, from which share of the window on, how many turns stay."""

    model: str | None = None
    share: float = 0.75
    keep_turns: int = 4
    unchanged: bool = True


class Window:
    """What one run's model takes, and what makes room in it. Every change is recorded (`note`) before it counts.

    In tokens: `output_tokens` is how long an answer may become (None leaves it to the service), `usable` what a prompt
    may have with room for it, `threshold` where room is made.
    """

    def __init__(
        self, model: ModelInfo, settings: Compacting, ratios: Ratios, summarise: Summariser, note: Note
    ) -> None:
        self._model = model
        self._settings = settings
        self._ratios = ratios
        self._summarise = summarise
        self._note = note
        most = min(model.output_tokens, MAX_OUTPUT_TOKENS, max(model.context_tokens // 2, 1))
        self.output_tokens = most if most > 0 else None
        self.usable = max(model.context_tokens - max(most, 0), 1)
        self.threshold = int(self.usable * settings.share)

    def cannot_fit(self, tokens: int) -> bool:
        """Whether a prompt of so many tokens (estimated) is surely too long."""
        slack = COUNTED_SLACK if self._ratios.knows(self._model.name) else UNCOUNTED_SLACK
        return tokens > self._model.context_tokens * slack

    def estimate(self, history: History, *, stands: bool) -> int:
        """Tokens of the request measured last: what the service counted of the one before, if that stands at its
        beginning, and the rest by its bytes."""
        prefix, before = history.prefix, history.sent
        ratio, whole = self._ratios.of(self._model.name), prefix.fixed_size + prefix.size()
        if before is None or not stands:
            return int(whole * ratio)
        added = prefix.size(before.count)
        if not credible(whole - added, before.tokens):
            return int(whole * ratio)
        self._ratios.learn(self._model.name, whole - added, before.tokens)
        return before.tokens + int(added * self._ratios.of(self._model.name))

    def counted(self, history: History, usage: Usage) -> None:
        """The service has counted the request measured last."""
        if not usage.estimated:
            self._ratios.learn(self._model.name, history.prefix.fixed_size + history.prefix.size(), usage.input)

    def trim(self, history: History, turn: int, *, hard: bool = False) -> bool:
        """Shorten old results; with `hard` also large ones of the last turns. Whether that was worth while."""
        stays = _begin_of_last(history.messages, self._settings.keep_turns)
        texts = dict(_shortened(history.messages[:stays], STALE_BYTES, STALE_KEPT))
        if hard:
            texts |= dict(_shortened(history.messages[stays:], LARGE_BYTES, LARGE_KEPT))
        gain = _weight(history.messages) - _weight(history.messages, texts)
        if not texts or gain < (WORTH_WHILE if hard else WORTH_A_MISS) * _weight(history.messages):
            return False
        self._revise(history, turn, Trimmed(texts))
        return True

    async def sum_up(self, history: History, turn: int, keep: int | None = None) -> bool:
        """Let all turns but the last ones give way to a summary. Whether that made room."""
        until = _begin_of_last(history.messages, keep or self._settings.keep_turns)
        old = history.messages[:until]
        room = min(max(int(self.usable * 0.2 / self._ratios.of(self._model.name)), LEAST_ROOM), MOST_ROOM)
        if _weight(old) < WORTH_WHILE * _weight(history.messages) or _weight(old) < LEAST_ROOM:
            return False
        said, usage = await self._summarise(old)
        facts = gathered(history.facts, old)
        text = compose(said, history.work, facts, min(room, max(_weight(old) * 3 // 4, LEAST_ROOM)))
        if len(text.encode()) >= _weight(old):
            return False
        self._revise(history, turn, Summed(until, text, facts), usage)
        return True

    def _revise(self, history: History, turn: int, revision: Revision, usage: Usage | None = None) -> None:
        history.revise(turn, revision)
        now = now_ms()
        self._note(
            Step(
                turn=turn,
                index=-history.revisions[turn],
                kind="context",
                name=type(revision).__name__.lower(),
                status="done",
                output=_ENCODER.encode(revision),
                usage=usage,
                started=now,
                ended=now,
            )
        )

    def tell(self, history: History, turn: int, revision: Revision) -> None:
        """Make another recorded change."""
        self._revise(history, turn, revision)


def _begin_of_last(messages: Sequence[Message], turns: int) -> int:
    """Where the last `turns` replies begin: a place between whole turns, no call is parted from its result."""
    replies = [index for index, message in enumerate(messages) if message.role == "assistant"]
    return replies[-turns] if len(replies) >= turns else 0


def _shortened(messages: Sequence[Message], most: int, kept: int) -> Iterator[tuple[str, str]]:
    """The results of more than `most` bytes, by call id, with what is kept of them."""
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolReturn) and len(part.text) > most:
                mark = LEFT_OUT.format(size=len(part.text.encode()) - kept, call=part.call_id)
                yield part.call_id, f"{clip_ends(part.text, kept)}\n{mark}"


def _weight(messages: Sequence[Message], texts: dict[str, str] | None = None) -> int:
    """Bytes of some messages, more or less; `texts` take the place of results."""
    total = 0
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolReturn):
                total += len((texts or {}).get(part.call_id, part.text))
            else:
                total += len(_ENCODER.encode(part))
    return total
