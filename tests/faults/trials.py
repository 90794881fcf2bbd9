"""Trials: a program is started, killed at some instant, looked at, and started again, until all that was asked is done.

A workload is one state directory with a few orders, killed several times; each kill is a trial. Everything random comes
from one seed.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import cycle
from pathlib import Path

from msgspec import Struct, field

from autohands.storage.schema import APPLICATION_ID, MIGRATIONS
from faults.lives import Life, Nursery, Stuck
from faults.oracle import Oracle, Violation
from faults.plan import Order, Plan
from faults.sink import read_sink
from faults.snapshot import Snapshot, take

KILLS_PER_WORKLOAD = 4  # after five a task is given up
LINES_PER_LIFE = 60
LATEST_SECONDS = 0.004
OPENING_SECONDS = 0.1
OPENINGS = 0.1
SCRIPTS: tuple[tuple[str, ...], ...] = (
    ("look+look+spend", "put+change", "look"),
    ("spend+spend", "can_tell", "spend"),
    ("ask_first", "wait_for", "spend"),
    ("hand_over", "spend"),
    ("hand_over+look", "ask_first+ask_first"),
    ("put", "wait_for+put", "can_tell+look"),
    ("spend", "look+change", "put+spend", "look"),
    ("stumble", "see+spend"),
    ("shell", "spend"),
)
CHORES = {"backups": "back_up", "retention": "retain"}
CONTROLS = ("", "pause", "", "after", "speak", "", "cancel")


class Trial(Struct):
    """One kill: what kind, where, what was wrong after it. `recovery_seconds` is that of the start that followed."""

    kind: str
    place: str
    seed: int
    violations: list[Violation] = field(default_factory=list)
    reached: bool = True
    recovery_seconds: float | None = None


class Workload:
    """One state directory, through its lives. Removed in the end, unless something was wrong."""

    def __init__(self, nursery: Nursery, seed: int, *, broken: str = "", errands: bool = True) -> None:
        self._nursery = nursery
        self._chance = random.Random(seed)
        self._directory = tempfile.mkdtemp(prefix=f"faults-{seed}-")
        self._broken = broken
        self._errands = errands
        self._orders: list[Order] = []
        self._oracle = Oracle(())
        self._life = 0
        self._forgets = False
        self._heard: set[tuple[str, ...]] = set()
        self.seed = seed
        self.trials: list[Trial] = []
        self._ground = Trial("none", "before any kill", seed)
        self.last = Snapshot()
        Path(self._directory, "workspace").mkdir()

    # --- what is asked -----------------------------------------------------------------------------------------------

    def order(self, count: int = 2) -> None:
        """Ask for `count` more tasks, of any kind."""
        kinds = [(self._chance.choice(SCRIPTS), self._chance.choice(CONTROLS)) for _ in range(count)]
        self.add(*(self._order(number, *kind) for number, kind in enumerate(kinds, len(self._orders))))

    def order_all(self) -> None:
        """Ask for a task of each kind."""
        kinds = [
            *zip(self._chance.sample(SCRIPTS, len(SCRIPTS)), cycle(CONTROLS), strict=False),
            (SCRIPTS[0], "cancel"),
        ]
        self.add(*(self._order(number, *kind) for number, kind in enumerate(kinds, len(self._orders))))

    def _order(self, number: int, script: tuple[str, ...], control: str) -> Order:
        waits = {"hand_over", "wait_for"} & set("+".join(script).split("+"))
        return Order(
            key=f"order{number}",
            session=f"session-{self._chance.randrange(3)}",
            script=script,
            control="" if waits and control == "cancel" else control,
            on_unknown=self._chance.choice(("tell", "tell", "ask")),
            reply=self._chance.random() < 0.3,
        )

    def add(self, *orders: Order) -> None:
        """Ask for these tasks as well."""
        self._orders.extend(orders)
        self._oracle.expect(orders)

    # --- lives -------------------------------------------------------------------------------------------------------

    def kill_at_random(self) -> None:
        """Start it, and kill it at a random line of what is new in what it tells, or a little later."""
        line, delay = self._chance.randrange(LINES_PER_LIFE), self._chance.random() * LATEST_SECONDS
        if self._chance.random() < OPENINGS:
            line, delay = 0, self._chance.random() * OPENING_SECONDS
        life = self._start()
        life.listen(self._after(line))
        time.sleep(delay)
        place = " ".join(life.told[-1])
        life.kill()
        self._record(life, Trial("random", f"{place} +{delay * 1000:.1f} ms", self.seed))

    def _after(self, lines: int) -> Callable[[list[str]], bool]:
        """Whether so many lines were told that were not told before, or there will be no more."""
        left = lines

        def told(words: list[str]) -> bool:
            nonlocal left
            if tuple(words) not in self._heard:
                self._heard.add(tuple(words))
                left -= 1
            return left < 0 or words[0] == "idle"

        return told

    def kill_at(self, failpoint: str, hit: int = 1, action: str = "kill", chore: str = "") -> bool:
        """Start it with a failpoint armed; False if it was not reached, and it was killed when it had no more to do."""
        chore = chore or CHORES.get(failpoint.partition(".")[0], "")
        life = self._start(f"{failpoint}:{hit}:{action}", chore=chore)
        life.listen(lambda words: words[0] == "idle")
        reached = life.status is not None or life.stopped
        if life.status is None:
            life.kill()
        self._record(life, Trial(action, f"{failpoint}:{hit}", self.seed, reached=reached))
        return reached

    def finish(self, chore: str = "") -> None:
        """Start it and let it come to its end."""
        life = self._start(finish=True, chore=chore)
        life.listen()
        if life.told[-1][0] != "all":
            complaint = f"ended with {life.status}: {life.told[-2:]}: {self._nursery.complaints()}"
            self._last.violations.append(Violation("broken", complaint))
        self._look(life, concluding=True)
        if self._ground.violations and self._ground not in self.trials:
            self.trials.insert(0, self._ground)

    def close(self, *, keep: bool = True) -> bool:
        """Forget its files; False, and they stay, where something was wrong, unless they are not to be kept."""
        if keep and any(trial.violations for trial in self.trials):
            return False
        shutil.rmtree(self._directory)
        return True

    # --- the ground of rarer trials -----------------------------------------------------------------------------------

    def damage(self) -> None:
        """Back up what is done, and write rubbish over the file."""
        self.order(2)
        self.finish(chore="back_up")
        with self._plan.database.open("r+b") as file:
            file.write(os.urandom(4096))

    def grow_old(self) -> None:
        """Make the tables of the first program."""
        self._plan.home.mkdir(mode=0o700)
        with closing(sqlite3.connect(self._plan.database, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(MIGRATIONS[0])
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("PRAGMA user_version = 1")

    def forget(self) -> None:
        """Do some work, and expect nothing of it any more: it is to be deleted."""
        self.order_all()
        self.finish()
        self._orders.clear()
        self._plan.sink.unlink()
        self._forgets = True
        with closing(sqlite3.connect(self._plan.database, isolation_level=None)) as connection:
            connection.execute("UPDATE blob SET created = 0")

    @property
    def _last(self) -> Trial:
        return self.trials[-1] if self.trials else self._ground

    @property
    def _plan(self) -> Plan:
        return Plan(directory=self._directory, orders=())

    @property
    def directory(self) -> str:
        """Where it lives."""
        return self._directory

    def _start(self, failpoint: str = "", *, finish: bool = False, chore: str = "") -> Life:
        self._life += 1
        with Path(self._directory, "sink").open("a") as sink:
            sink.write(f"life {self._life} -\n")
        plan = Plan(
            directory=self._directory,
            orders=tuple(self._orders),
            life=self._life,
            finish=finish,
            errands=self._errands and not finish,
            chore=chore,
            broken=self._broken,
        )
        return self._nursery.bear(plan, failpoint)

    def _record(self, life: Life, trial: Trial) -> None:
        self.trials.append(trial)
        if trial.reached and not life.killed:
            complaint = f"ended with {life.status} before it was killed: {self._nursery.complaints()}"
            trial.violations.append(Violation("broken", complaint))
        self._look(life)

    def _look(self, life: Life, *, concluding: bool = False) -> None:
        """Have the oracle judge what the life has left."""
        plan = self._plan
        if self._last.place.startswith("damage.") and not concluding:
            return  # killed while the file was being replaced: the next start goes on with that
        if self._forgets:
            self._oracle = Oracle((), forgets=True)
        now, sink = take(plan.database), read_sink(plan.sink)
        found = self._oracle.judge(now, sink, life.told, self._life)
        if concluding:
            found += self._oracle.conclude(now, sink)
        self._last.violations += found
        self._note_recovery(life)
        self.last = now

    def _note_recovery(self, life: Life) -> None:
        """How long the start after the last kill took until it was open."""
        before = self.trials[:-1] if self.trials and life.told[-1:] != [["all", str(self._life)]] else self.trials
        if before and life.opened_seconds is not None:
            before[-1].recovery_seconds = life.opened_seconds


def random_kills(
    nursery: Nursery, seed: int, count: int, tell: Callable[[Trial], None] = lambda _: None
) -> Iterator[Workload]:
    """Workloads with `count` kills at random instants in all."""
    chance = random.Random(seed)
    while count > 0:
        workload = Workload(nursery, chance.randrange(1 << 30))
        with _bounded(workload):
            for _ in range(min(KILLS_PER_WORKLOAD, count)):
                workload.order(2)
                workload.kill_at_random()
                tell(workload.trials[-1])
            workload.finish()
        count -= len(workload.trials)
        yield workload


def named_kills(
    nursery: Nursery,
    seed: int,
    names: Sequence[str],
    tell: Callable[[Trial], None] = lambda _: None,
    most: int = 3,
) -> Iterator[Workload]:
    """Workloads with a kill at each of the failpoints `names`, at one of the first `most` passages."""
    chance = random.Random(seed)
    for name in filter(is_rare, names):
        workload = Workload(nursery, chance.randrange(1 << 30), errands=False)
        with _bounded(workload):
            _kill_rarely(workload, name)
            tell(workload.trials[-1])
            workload.finish("retain" if name.startswith("retention.") else "")
        yield workload
    usual = [name for name in names if not is_rare(name)]
    for first in range(0, len(usual), KILLS_PER_WORKLOAD):
        workload = Workload(nursery, chance.randrange(1 << 30))
        with _bounded(workload):
            for name in usual[first : first + KILLS_PER_WORKLOAD]:
                workload.order_all()
                workload.kill_at(name, chance.randint(1, most))
                tell(workload.trials[-1])
            workload.finish()
        yield workload


def is_rare(name: str) -> bool:
    """Whether ordinary work never passes a failpoint."""
    return name.startswith(("claims.abandoned", "damage.", "decisions.", "retention.", "migrations."))


def _kill_rarely(workload: Workload, name: str) -> None:
    if name.startswith("damage."):
        workload.damage()
    elif name.startswith(("claims.", "decisions.")):
        workload.add(Order(key="order0", session="s", script=("spend",), on_unknown="ask"))
        workload.kill_at("act.begun")
    elif name.startswith("retention."):
        workload.forget()
    else:
        workload.grow_old()
    workload.kill_at(name)


class _bounded:  # noqa: N801  reads like a function
    """A life that is stuck is a defect of its workload's last trial, not of the harness."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Stuck):
            return False
        stuck = Trial("none", "stuck", self._workload.seed, violations=[Violation("broken", f"stuck: {error}")])
        self._workload.trials.append(stuck)
        return True


def expire_leases(database: Path) -> bool:
    """Let the leases of all programs run out, as half a minute of silence would; False if one holds the file."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=0.2)) as connection:
        try:
            connection.execute("UPDATE executor SET lease_until = 0")
        except sqlite3.OperationalError:
            return False
    return True
