"""What the model sees over long sessions: how much of it stands still, what survives compaction, what a turn costs.

All through the shipped runtime, with a scripted model that counts tokens as services do.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import msgspec

import autohands
from autohands.protocols.events import CacheMissed, Compacted, RunFinished, TurnStarted
from autohands.protocols.messages import Message, Usage
from autohands.protocols.provider import ModelInfo, Request
from autohands.runtime.summary import INSTRUCTIONS
from autohands.testing.script import Turn, call, say
from autohands.testing.scripted import Scripted

BYTES_PER_TOKEN = 4
FILLER = "The parser walks the tree and notes each leaf it meets on the way down to the last branch. "


class Counting:
    """Answers by `turns`, and sums up by `summary`; counts a request's tokens, and those that begin as the last one."""

    def __init__(self, turns: Iterator[Turn], summary: Callable[[str], str]) -> None:
        self._turns = turns
        self._summary = summary
        self._last: tuple[Message, ...] = ()
        self._fixed: tuple[object, ...] = ()
        self._sizes: dict[int, tuple[Message, int]] = {}
        self.sent: list[tuple[int, int]] = []
        self.times: list[float] = []
        self.seen: dict[int, Request] = {}
        self.summaries: list[str] = []

    def __call__(self, request: Request) -> Turn:
        if request.system == INSTRUCTIONS:
            self.summaries.append(self._summary(request.messages[0].text))
            return say(self.summaries[-1])
        fixed, self._fixed = self._fixed, (request.system, request.tools)
        base = len(request.system) + len(msgspec.json.encode(request.tools))
        shared = 0
        for before, now in zip(self._last, request.messages, strict=False):
            if before != now:
                break
            shared += 1
        sizes = [self._size(message) for message in request.messages]
        kept = base + sum(sizes[:shared]) if fixed == self._fixed else 0
        self._last = request.messages
        self.sent.append((base + sum(sizes), kept))
        self.times.append(time.process_time())
        self.seen[len(self.summaries)] = request
        usage = Usage(input=self.sent[-1][0] // BYTES_PER_TOKEN, output=40, cache_read=kept // BYTES_PER_TOKEN)
        return msgspec.structs.replace(next(self._turns, say("That is all.")), usage=usage)

    def _size(self, message: Message) -> int:
        known = self._sizes.get(id(message))
        if known is None:
            known = self._sizes[id(message)] = message, len(msgspec.json.encode(message))
        return known[1]


class Seen(msgspec.Struct):
    """What a session has sent, and was told of its history."""

    counting: Counting
    events: list[CacheMissed | Compacted]

    @property
    def stood(self) -> float:
        """The share of all input tokens that lie in the unchanged prefix."""
        sent = self.counting.sent
        return sum(kept for _, kept in sent) / sum(size for size, _ in sent)


async def held(folder: Path, model: ModelInfo, counting: Counting, prompts: list[str]) -> Seen:
    """Say `prompts` one after the other in one session of a fresh home."""
    seen = Seen(counting, [])
    config = {"model": "bench/bench", "limits": {"turns": 2_000}}
    (folder / "home").mkdir(mode=0o700, parents=True)
    async with autohands.open(folder / "home", folder / "work", config) as hands:
        provider = Scripted(*[counting] * 4_000, name="bench", model=model)
        hands.kernel.registries.providers.add("bench", ("bench", provider))
        for prompt in prompts:
            async for event in hands.run(prompt, session="s", consent="workspace"):
                if isinstance(event, CacheMissed | Compacted):
                    seen.events.append(event)
                elif isinstance(event, RunFinished) and event.reason != "done":
                    raise SystemExit(f"the run ended with {event.reason}: {event.error}")
                elif isinstance(event, TurnStarted) and event.turn % 9 == 5:
                    await hands.speak("s", f"Mind the margins of part {event.turn}, please.")
    return seen


def model_of(context_tokens: int) -> ModelInfo:
    """A model with such a window."""
    free = ModelInfo(name="bench", input_price=0, output_price=0, cache_read_price=0)
    return msgspec.structs.replace(free, context_tokens=context_tokens, output_tokens=4_000)


def files_in(folder: Path) -> Path:
    """A workspace with instructions, skills and twenty files of 6 KB."""
    work = folder / "work"
    (work / "skills").mkdir(parents=True)
    (work / "AGENTS.md").write_text("Use tabs. Run the tests.\n")
    for number in range(20):
        (work / f"part{number}.txt").write_text(f"Part {number}.\n" + f"{FILLER}\n" * 66)
    for number in range(4):
        (work / "skills" / f"skill{number}.md").write_text(f"# Skill {number}\n" + FILLER * 20)
    return work


def working(turns: int) -> Iterator[Turn]:
    """Reads of files and skills, writes and edits, `turns` in all, the last one an answer."""
    for number in range(turns - 1):
        says = f"Step {number}: on to the next part."
        if number % 10 == 3:
            yield call("read_file", says=says, path=f"skills/skill{number % 4}.md")
        elif number % 5 == 4:
            yield call("write_file", says=says, path=f"out{number}.txt", content=FILLER * 4)
        else:
            yield call("read_file", says=says, path=f"part{number % 20}.txt", offset=1 + number // 20)
    yield say("That is all.")


async def prefix(folder: Path) -> list[tuple[str, str, bool | None]]:
    """100 turns in four tasks, with files, skills and steering"""
    rows: list[tuple[str, str, bool | None]] = []
    for window, least in ((128_000, 0.95), (40_000, None)):
        home = folder / str(window)
        files_in(home)
        turns = itertools.chain.from_iterable(working(25) for _ in range(4))
        seen = await held(home, model_of(window), Counting(turns, lambda record: record[:400]), ["Work."] * 4)
        misses = Counter(event.segment for event in seen.events if isinstance(event, CacheMissed))
        broken = sum(kept < before for (before, _), (_, kept) in itertools.pairwise(seen.counting.sent))
        rows += [
            (
                f"window {window:,}: input in the unchanged prefix",
                f"{seen.stood:.1%}",
                None if least is None else seen.stood >= least,
            ),
            ("requests that did not begin as the last one", f"{broken}", None),
            ("of these explained", f"{misses.total()}: {dict(misses)}", misses.total() == broken),
        ]
    return rows


def mediocre(record: str) -> str:
    """A summary as a poor model writes one: a few lines of the record, cut short, half of their digits wrong."""
    dice = random.Random(len(record))
    lines = [line[:90] for line in record.splitlines() if line.strip()]
    chosen = dice.sample(lines, min(10, len(lines)))
    wrong = str.maketrans("0123456789", "1234567890")
    return "\n".join(line.translate(wrong) if dice.random() < 0.5 else line for line in chosen)


PATHS = [f"src/core/module_{number}/handler_{number * 7}.py" for number in range(10)]
IDS = [f"OPS-{4_100 + 37 * number}" for number in range(10)]
NUMBERS = [f"{8_000 + 101 * number}" for number in range(10)]
ASKS = [f"Tell {name} when the {thing} is done." for name, thing in zip(
    ("Anna", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ida", "Jon"),
    ("index", "menu", "parser", "cache", "mailer", "clock", "router", "ledger", "map", "queue"),
    strict=True,
)]  # fmt: skip


def planting() -> Iterator[Turn]:
    """Facts in what the model writes, what it passes to tools and what these return; then enough to forget them."""
    for number in range(10):
        yield call(
            "write_file", says=f"I settled on {NUMBERS[number]} for limit {number}.", path=PATHS[number], content="x"
        )
        yield call("read_file", path=f"ticket{number}.txt")
    for number in range(400):
        says = f"Step {number} took {1_300 + 17 * number} ms in worker-{number:03}. " + FILLER * 3
        yield call("read_file", says=says, path=f"part{number % 20}.txt", offset=1 + number // 20)
    yield say("That is all.")


async def facts(folder: Path) -> list[tuple[str, str, bool | None]]:
    """Forty exact facts, with a poor summariser"""
    work = files_in(folder)
    for number, name in enumerate(IDS):
        (work / f"ticket{number}.txt").write_text(f"Filed as {name} by the night shift.\n")
    counting = Counting(planting(), mediocre)
    prompt = "Go through all parts. " + " ".join(ASKS)
    await held(folder, model_of(40_000), counting, [prompt])
    third, last = reachable(counting.seen[3].messages), reachable(counting.seen[len(counting.summaries)].messages)
    alone = sum(found.values()) if (found := reachable(counting.summaries[2])) else 0
    return [
        ("facts of 40 that the model sees after three", f"{sum(third.values())}: {third}", sum(third.values()) >= 38),
        ("of these in the third summary itself", f"{alone}", None),
        (f"facts that it sees after {len(counting.summaries)}", f"{sum(last.values())}: {last}", None),
        ("tokens of the last request", f"{counting.sent[-1][0] // BYTES_PER_TOKEN:,}", None),
    ]


def reachable(shown: object) -> dict[str, int]:
    """How many of the planted facts are in what is shown, by kind."""
    text = msgspec.json.encode(shown).decode()
    kinds = {"paths": PATHS, "ids": IDS, "numbers": NUMBERS, "open asks": ASKS}
    return {kind: sum(fact in text for fact in planted) for kind, planted in kinds.items()}


async def flat(folder: Path) -> list[tuple[str, str, bool | None]]:
    """CPU of a turn over 500 turns, with compactions"""
    files_in(folder)
    counting = Counting(working(500), lambda record: record[:2_000])
    seen = await held(folder, model_of(40_000), counting, ["Work through all of it."])
    costs = [(after - before) * 1_000 for before, after in itertools.pairwise(counting.times)]
    early, late = sum(costs[100:200]) / 100, sum(costs[-100:]) / 100
    compactions = [event for event in seen.events if isinstance(event, Compacted)]
    largest = max(size for size, _ in counting.sent) // BYTES_PER_TOKEN
    return [
        ("turns", f"{len(counting.sent)}", None),
        ("times the history was shortened", f"{len(compactions)}", None),
        ("largest request, tokens of 40,000", f"{largest:,}", largest < 36_000),
        ("CPU of a turn, mean of 100 to 200, ms", f"{early:.2f}", None),
        ("CPU of a turn, mean of the last 100, ms", f"{late:.2f}", late <= early * 1.25),
        ("median of all turns, ms", f"{median(costs):.2f}", None),
        ("input tokens in the unchanged prefix", f"{seen.stood:.1%}", None),
    ]


def show(title: str, rows: list[tuple[str, str, bool | None]]) -> None:
    """One table."""
    print(f"| {title:48} | {'':58} | {'':4} |\n|{'-' * 50}|{'-' * 60}|{'-' * 6}|")
    for name, value, good in rows:
        print(f"| {name:48} | {value:58} | {'' if good is None else 'ok' if good else 'MISS':4} |")
    print()


PARTS = {"prefix": prefix, "facts": facts, "flat": flat}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS)
    given = parser.parse_args()
    for name, part in PARTS.items():
        if given.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="autohands-context-", dir=Path.cwd()) as directory:
                show(part.__doc__ or name, asyncio.run(part(Path(directory))))
