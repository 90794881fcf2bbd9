"""The score card: how many trials of which kind, what was wrong, what was unknown, how long recovery took."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from faults.oracle import KINDS
from faults.trials import Trial, Workload

LABELS = {
    "lost": "acknowledged inputs or recorded events lost",
    "repeated": "recorded steps executed again or changed",
    "twice": "non-idempotent bodies begun twice, unrecorded or unasked",
    "undefined": "tasks in no defined state",
    "gap": "journals with a gap",
    "unshown": "unknown outcomes that no event tells of",
    "order": "tasks begun before their session's earlier one ended",
    "unfinished": "tasks or calls left undone",
    "damage": "damage to the file or the sums",
    "broken": "programs that crashed, hung or pretended",
}


class Score:
    """Adds up workloads."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.trials: list[Trial] = []
        self.unreached: list[str] = []
        self._steps = Counter[str]()

    def add(self, workload: Workload) -> None:
        """Count a workload that is over."""
        self.trials += workload.trials
        self._steps.update(row.status for row in workload.last.steps.values())
        self._steps["tasks"] += len(workload.last.tasks)
        self._steps["events"] += len(workload.last.events)

    @property
    def kills(self) -> int:
        """Trials that ended in a kill where they should."""
        return sum(trial.reached for trial in self.trials)

    @property
    def defects(self) -> Counter[str]:
        """How many violations of each kind."""
        return Counter(violation.kind for trial in self.trials for violation in trial.violations)

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        times = sorted(trial.recovery_seconds for trial in self.trials if trial.recovery_seconds is not None)
        return {
            "seed": self.seed,
            "trials": self.kills,
            "kinds": dict(Counter(trial.kind for trial in self.trials if trial.reached)),
            "places": len({trial.place.partition(":")[0] for trial in self.trials if trial.kind != "random"}),
            "unreached": sorted(self.unreached),
            "tasks": self._steps["tasks"],
            "events": self._steps["events"],
            "steps": self._steps["done"] + self._steps["failed"] + self._steps["unknown"],
            "unknown": self._steps["unknown"],
            "defects": {kind: self.defects[kind] for kind in KINDS},
            "recovery_seconds": {"p50": statistics.median(times), "max": times[-1]} if times else None,
            "bound_95": None if self.defects.total() or not self.kills else 3 / self.kills,
        }


def card(score: Score) -> Iterator[str]:
    """For people."""
    told = score.as_dict()
    kinds = ", ".join(f"{count} {kind}" for kind, count in told["kinds"].items())
    yield f"seed {told['seed']}: {told['trials']} kills ({kinds}), {told['places']} named points"
    yield f"{told['tasks']} tasks, {told['steps']} recorded steps, {told['events']} events"
    for kind, label in LABELS.items():
        yield f"{told['defects'][kind]:6}  {label}"
    yield f"{told['unknown']:6}  effects interrupted and told to be unknown"
    if told["recovery_seconds"]:
        p50, most = (told["recovery_seconds"][name] * 1000 for name in ("p50", "max"))
        yield f"start after a kill until open (without imports): p50 {p50:.0f} ms, max {most:.0f} ms"
    if told["bound_95"] is not None:
        yield f"0 defects in {told['trials']} kills: with 95 % confidence under {told['bound_95']:.2%} of kills do harm"
    if told["unreached"]:
        yield f"never reached: {', '.join(told['unreached'])}"
    yield from (f"seed {trial.seed}, {trial.kind} {trial.place}: {each}" for trial, each in _wrong(score.trials))


def _wrong(trials: Iterable[Trial]) -> Iterator[tuple[Trial, str]]:
    for trial in trials:
        for violation in trial.violations:
            yield trial, f"{violation.kind}: {violation.text}"
