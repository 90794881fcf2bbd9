"""What other processes commit is noticed, whatever the file system's clock says."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from autohands.storage.neighbours import FRESH_NS, Neighbours


def test_a_commit_with_the_time_stamp_of_the_one_before_is_noticed_however_late_the_look(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    mine, theirs = sqlite3.connect(path, isolation_level=None), sqlite3.connect(path, isolation_level=None)
    try:
        theirs.execute("PRAGMA journal_mode = WAL")
        theirs.execute("CREATE TABLE t(n)")
        theirs.execute("INSERT INTO t VALUES(zeroblob(9000))")
        theirs.execute("PRAGMA wal_checkpoint(RESTART)")  # what comes now is written over what is there: no new size
        log = path.with_name("a.db-wal")
        now = time.time_ns()
        times = iter((now, now + FRESH_NS, now + 2 * FRESH_NS))
        neighbours = Neighbours(path, lambda: next(times))
        neighbours.begin(mine)
        os.utime(log, ns=(now, now))
        assert not neighbours.have_committed(mine)
        theirs.execute("INSERT INTO t VALUES(1)")
        os.utime(log, ns=(now, now))
        assert neighbours.have_committed(mine)
        assert not neighbours.have_committed(mine)
    finally:
        mine.close()
        theirs.close()
