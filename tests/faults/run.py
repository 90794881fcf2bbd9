"""The fault harness as a program: kills at random instants and at every named point, and the score card.

PYTHONPATH=tests python -m faults.run --seed 7 --trials 1000
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from faults.lives import Nursery, nursery
from faults.points import names
from faults.score import Score, card
from faults.trials import Trial, Workload, named_kills, random_kills

SAY_SECONDS = 5.0


class Progress:
    """Says on standard error how far it is, and what is wrong as soon as it is known."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._said = time.monotonic()

    def __call__(self, trial: Trial) -> None:
        """A trial is over."""
        self._done += 1
        for violation in trial.violations:
            print(f"seed {trial.seed}, {trial.kind} {trial.place}: {violation}", file=sys.stderr, flush=True)
        if time.monotonic() - self._said > SAY_SECONDS:
            self._said = time.monotonic()
            print(f"{self._done} of {self._total} trials", file=sys.stderr, flush=True)


def campaign(nurse: Nursery, score: Score, trials: int, progress: Progress) -> None:
    """Every named point at least once, then random instants, `trials` in all."""
    seed, chance, places = score.seed, random.Random(score.seed), names()
    _add_all(score, named_kills(nurse, seed, chance.sample(places, len(places)), progress))
    missed = [trial.place.partition(":")[0] for trial in score.trials if not trial.reached]
    score.trials = [trial for trial in score.trials if trial.reached or trial.violations]
    again = list(named_kills(nurse, seed, missed, progress, most=1))
    _add_all(score, again)
    score.unreached = sorted(
        trial.place.partition(":")[0] for workload in again for trial in workload.trials if not trial.reached
    )
    _add_all(score, random_kills(nurse, chance.randrange(1 << 30), trials - score.kills, progress))


def _add_all(score: Score, workloads: Iterable[Workload] | Iterator[Workload]) -> None:
    for workload in workloads:
        score.add(workload)
        if not workload.close():
            print(f"kept for you: {workload.directory}", file=sys.stderr, flush=True)


def main() -> None:
    """Run a campaign; exit status 1 if anything was wrong or a point was not reached."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--trials", type=int, default=1000, help="kills in all (%(default)s)")
    parser.add_argument("--json", action="store_true", help="the card as JSON")
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    score = Score(options.seed)
    with suppress(KeyboardInterrupt), nursery() as nurse:  # Ctrl-C: the card of what there is
        campaign(nurse, score, options.trials, Progress(options.trials))
    if options.json:
        print(json.dumps(score.as_dict(), indent=2))
    else:
        print("\n".join(card(score)))
    sys.exit(bool(score.defects.total() or score.unreached))


if __name__ == "__main__":
    main()
