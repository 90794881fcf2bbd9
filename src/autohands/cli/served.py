"""What `doctor` says about the program that serves."""

from __future__ import annotations

import os
from collections.abc import Iterator

from autohands.cli.checks import Finding
from autohands.cli.listing import when
from autohands.config.paths import Paths, home_directory


def check_service() -> Iterator[Finding]:
    """Whether one serves, and what its sentinel has found."""
    from autohands.daemon.lock import NAME, holder
    from autohands.daemon.sentinel import REPORT, read_report

    run = Paths(home_directory(os.environ)).run
    serving = holder(run / NAME)
    if serving is None:
        yield Finding("serve", "ok", "nobody serves: what is due waits for `autohands serve`")
        return
    found = read_report(run / REPORT)
    for each in found:
        yield Finding("serve", "wrong", f"{each.text} (since {when(each.since)})", "look at what `serve` says")
    if not found:
        yield Finding("serve", "ok", f"process {serving.pid} serves since {when(serving.since)}")
