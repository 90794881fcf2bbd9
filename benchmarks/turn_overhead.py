"""What a turn costs in AutoHands, as ratios to a hand-written aiohttp loop that keeps no journal.

Both sides talk to the same fake streaming service (a process of its own), each from a process of its own, with the same
prompt, tools and replies; AutoHands keeps its journal in a fresh home on the disk. A round runs one side and then the
other, the next round the other way about; ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import platform
import pstats
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from turn.processes import Answer, Side, cold_start, fake_service, side
from turn.table import Rounds, Row, lines

TURNS = 11  # ten with a tool call, and the one that answers
CHUNKS = 200
LIVE_KIB = 45


@dataclass(frozen=True)
class Turns:
    """Sessions of eleven turns: what CPU and rate are to be reached."""

    name: str
    script: str
    sessions: int
    at_once: int
    cpu_target: float
    rate_target: float | None = None

    def measure(self, process: Side) -> Answer:
        """One round of one side."""
        return process.call("sessions", script=self.script, count=self.sessions, at_once=self.at_once)

    def rows(self, rounds: Rounds) -> Iterator[Row]:
        """CPU of a turn, and turns a second."""
        turns = self.sessions * TURNS
        yield rounds.row(f"CPU ms a turn, {self.name}", lambda answer: answer["cpu"] / turns * 1e3, self.cpu_target)
        yield rounds.row(
            f"turns/s, {self.name}", lambda answer: turns / answer["wall"], self.rate_target, at_least=True
        )


def turns_measured(*, quick: bool) -> Iterator[Turns]:
    """Reads and effects: one session after another, 50 and 200 at once."""
    alone, fifty = (5, 50) if quick else (40, 100)
    for kind, script, target in (("reads", "read-10", 2.0), ("effects", "effect-10", 3.0)):
        yield Turns(f"{kind}, one session after another", script, alone, 1, target)
        yield Turns(f"{kind}, 50 sessions at once", script, fifty, 50, target)
        yield Turns(f"{kind}, 200 sessions at once", script, 200, 200, target, 0.7)


class Bench:
    """The measurements against the service at `url`, with homes in `folder`."""

    def __init__(self, url: str, folder: Path, rounds: int, *, quick: bool) -> None:
        self._url = url
        self._folder = folder
        self._rounds = rounds
        self._quick = quick

    def turns(self) -> Iterator[Row]:
        """CPU and rate of turns, CPU of chunks, and how a turn's cost grows with the history."""
        with ExitStack() as stack:
            hand, ours = (stack.enter_context(self._side(name, self._folder)) for name in ("hand", "autohands"))
            for process in (hand, ours):
                for script in ("read-10", "effect-10", "answer-200"):
                    process.call("sessions", script=script, count=10, at_once=5)
            for each in turns_measured(quick=self._quick):
                yield from each.rows(Rounds.of(self._rounds, partial(each.measure, hand), partial(each.measure, ours)))
            yield self._chunks(hand, ours, "drip", 2 if self._quick else 5, 1.5)
            yield self._chunks(hand, ours, "answer", 5 if self._quick else 20, None)
            yield self._growth(hand, ours)

    def _chunks(self, hand: Side, ours: Side, script: str, answers: int, target: float | None) -> Row:
        def measure(process: Side) -> Answer:
            return process.call("sessions", script=f"{script}-{CHUNKS}", count=answers, at_once=1)

        rounds = Rounds.of(self._rounds, partial(measure, hand), partial(measure, ours))
        name = f"CPU µs a chunk, {CHUNKS} of them {'1 ms apart' if script == 'drip' else 'at once'}"
        return rounds.row(name, lambda answer: answer["cpu"] / answers / CHUNKS * 1e6, target)

    def _growth(self, hand: Side, ours: Side) -> Row:
        def measure(process: Side) -> Answer:
            return process.call("growth", script="read-200", early=10, late=190, span=16)

        rounds = Rounds.of(self._rounds, partial(measure, hand), partial(measure, ours))
        name = "CPU ms a turn, more at turn 190 than at turn 10"
        return rounds.row(name, lambda answer: (answer["late"] - answer["early"]) * 1e3, 1.0)

    def cold_starts(self) -> Iterator[Row]:
        """From the start of a process to its first answer: in a home that is there, and in a new one each time."""
        used, numbers = self._folder / "used", count()
        start_hand = partial(cold_start, "hand", self._url, used)
        start_ours = partial(cold_start, "autohands", self._url, used)

        def start_anew() -> Answer:
            return cold_start("autohands", self._url, self._folder / f"new-{next(numbers)}")

        start_hand()
        start_ours()
        for where, start in (("home exists", start_ours), ("new home", start_anew)):
            if self._quick and start is start_anew:
                return
            rounds = Rounds.of(self._rounds, start_hand, start)
            yield rounds.row(f"ms from start to first answer, {where}", lambda answer: answer["wall"] * 1e3, 1.4)
            yield rounds.row(f"CPU ms of the whole process, {where}", lambda answer: answer["cpu"] * 1e3, 1.4)

    def memory(self) -> Iterator[Row]:
        """KiB of a live session, each time in new processes."""

        def measure(name: str, turns: int) -> Answer:
            with tempfile.TemporaryDirectory(dir=self._folder) as home, self._side(name, Path(home)) as process:
                return process.call("memory", script=f"hold-{turns}", before=50, count=200)

        for what, turns, target in (("in its first turn", 0, LIVE_KIB), ("after ten turns", 10, None)):
            if self._quick and turns:
                return
            rounds = Rounds.of(
                1 if self._quick else 3, partial(measure, "hand", turns), partial(measure, "autohands", turns)
            )
            yield rounds.row(f"KiB a live session, {what}", lambda answer: answer["kib"], target, absolute=True)

    def profile(self, path: Path) -> None:
        """Print where AutoHands' event loop spends its time: effects, 200 sessions at once."""
        with self._side("autohands", self._folder) as process:
            process.call("sessions", script="effect-10", count=10, at_once=5)
            answer = process.call("profile", script="effect-10", count=200, at_once=200, path=str(path.resolve()))
        whole, own = (answer[name] / 200 / TURNS * 1e3 for name in ("cpu", "loop_thread"))
        print(f"CPU ms a turn without the profiler: {whole:.2f}, of it on the event loop's thread: {own:.2f}")
        pstats.Stats(str(path)).sort_stats("tottime").print_stats(40)

    def _side(self, name: str, home: Path) -> AbstractContextManager[Side]:
        return side(name, self._url, home)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a turn costs in AutoHands beside a hand-written loop.")
    parser.add_argument("--quick", action="store_true", help="two small rounds, in under 20 s")
    parser.add_argument("--rounds", type=int, help="how many rounds (7; 2 with --quick)")
    parser.add_argument("--only", choices=("turns", "cold", "memory"), help="one part of the table")
    parser.add_argument("--folder", default="/var/tmp", help="where homes are made: on a disk (%(default)s)")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="profile AutoHands into FILE instead")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = _options()
    rounds = options.rounds or (2 if options.quick else 7)
    with tempfile.TemporaryDirectory(prefix="autohands-bench-", dir=options.folder) as folder, fake_service() as url:
        bench = Bench(url, Path(folder), rounds, quick=options.quick)
        if options.profile:
            bench.profile(options.profile)
            return
        parts = {"turns": bench.turns, "cold": bench.cold_starts, "memory": bench.memory}
        rows = [row for name, part in parts.items() if options.only in (None, name) for row in part()]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, medians of {rounds} alternating rounds\n")
    print("\n".join(lines(rows)))


if __name__ == "__main__":
    main()
