"""What durability costs: recorded steps a second, enqueue → start beside the disk's sync, claims, idling, starts."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from durable import crowd, rates
from msgspec import Struct

MS = 1000.0


class Line(Struct, frozen=True):
    """One measurement. `target` is an upper bound unless `at_least`."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """`ok` or `MISS`, or nothing where there is no target."""
        if self.target is None:
            return ""
        return "ok" if (self.value >= self.target if self.at_least else self.value <= self.target) else "MISS"

    def __str__(self) -> str:
        sign = "" if self.target is None else f"{'≥' if self.at_least else '≤'} {self.target:,.5g}"
        value = f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:.3g}"
        return f"| {self.name:80} | {value:>9} | {self.unit:8} | {sign:>9} | {self.verdict:4} |"


class Bench:
    """Measures in `folder`, which decides about the disk."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self._folder = folder
        self._quick = quick
        self._number = 0

    def _database(self) -> Path:
        self._number += 1
        home = self._folder / f"home-{self._number}"
        home.mkdir(mode=0o700)
        return home / "autohands.db"

    def steps(self) -> Iterator[Line]:
        """Recorded steps a second."""
        many, one = (20, 300) if self._quick else (100, 2000)
        rate = asyncio.run(rates.steps_a_second(self._database(), rates.WRITERS, many))
        yield Line("recorded steps a second, 200 writers, each synced", rate, "1/s", 10_000, at_least=True)
        rate = asyncio.run(rates.steps_a_second(self._database(), 1, one))
        yield Line("recorded steps a second, one writer, each synced", rate, "1/s")
        rate = asyncio.run(rates.steps_a_second(self._database(), 1, one * 5, lazily=True))
        yield Line("recorded steps a second, one writer, a barrier every ten", rate, "1/s", 2_000, at_least=True)

    def starts(self) -> Iterator[Line]:
        """Enqueue → start, in units of this disk's sync."""
        times = rates.syncs(self._folder)
        sync = median(times)
        yield Line("fdatasync of a page, median", sync * MS, "ms")
        yield Line("fdatasync of a page, p99", rates.percentile(times, 0.99) * MS, "ms")
        for at_once, count, bound in ((1, 300, 4), (rates.WRITERS, 2000, 10)):
            tasks = count // 3 if self._quick else count
            accepted, started = asyncio.run(rates.starts(self._database(), tasks, at_once))
            how = "alone" if at_once == 1 else f"{at_once} at once"
            yield Line(f"enqueue → acknowledged, {how}, median", median(accepted) * MS, "ms")
            p50, p99 = rates.typical(started)
            yield Line(f"enqueue → start, {how}, median", p50 * MS, "ms")
            yield Line(f"enqueue → start, {how}, p99", p99 * MS, "ms")
            yield Line(f"enqueue → start, {how}, p99 by the median fdatasync", p99 / sync, "×", bound)

    def claims(self) -> Iterator[Line]:
        """Claims where a crowd waits."""
        for sessions, how in ((1, "one hot session"), (1000, "a thousand sessions"), (crowd.TASKS, "each its own")):
            seconds = crowd.claims_of(self._folder, sessions)
            yield Line(f"claim with 100,000 tasks waiting, {how}", seconds * MS, "ms", 1)

    def idle(self) -> Iterator[Line]:
        """CPU of an open program that has nothing to do."""
        share = crowd.idle_share(self._folder, 4 if self._quick else 20)
        yield Line("CPU of an open program that idles", share * 100, "%", 0.1)

    def crash(self) -> Iterator[Line]:
        """Start after a kill, with much stored."""
        opened, resumed = crowd.start_after_crash(self._folder, 1 if self._quick else 3)
        what = "with 100,000 tasks and 1,000,000 events"
        yield Line(f"start after kill -9 → open, {what}", opened, "s", 2)
        yield Line(f"start after kill -9 → at work again, {what}", resumed, "s", 2)


def main() -> None:
    """Measure and print."""
    parts = ("steps", "starts", "claims", "idle", "crash")
    parser = argparse.ArgumentParser(description="What durability costs.")
    parser.add_argument("--quick", action="store_true", help="small numbers, for a glance")
    parser.add_argument("--only", choices=parts, help="one part of the table")
    parser.add_argument("--folder", default="/var/tmp", help="where homes are made: on a disk (%(default)s)")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores\n")
    print(f"| {'what':80} | {'measured':>9} | {'unit':8} | {'target':>9} |      |")
    print(f"|{'-' * 82}|{'-' * 10}:|{'-' * 10}|{'-' * 10}:|------|")
    with tempfile.TemporaryDirectory(prefix="autohands-bench-", dir=options.folder) as folder:
        bench = Bench(Path(folder), quick=options.quick)
        for name in parts:
            if options.only in (None, name):
                for line in getattr(bench, name)():
                    print(line, flush=True)


if __name__ == "__main__":
    main()
