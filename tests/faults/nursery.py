"""Starts lives: a process that has imported everything, and forks for each line on its standard input.

A start in full costs a sixth of a second, most of it for imports, which no kill can harm. A line is a JSON object with
`plan` and `environment`. Told are `born PID` and, when the life is over, `ended STATUS` (as `waitpid` has it).
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from importlib import import_module
from typing import NoReturn

import msgspec

from faults import worker
from faults.plan import Birth
from faults.tell import tell


def _live(birth: Birth) -> NoReturn:
    status = 1
    try:
        os.environ.update(birth.environment)
        worker.main(birth.plan)
        status = 0
    except BaseException:  # a fork never returns into the loop that made it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Until standard input closes."""
    import_module("autohands.app")  # the package itself loads nothing before it is asked to
    gc.freeze()
    for line in sys.stdin.buffer:
        birth = msgspec.json.decode(line, type=Birth)
        pid = os.fork()
        if pid == 0:
            _live(birth)
        tell("born", pid)
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            tell("stopped", pid)
        tell("ended", status)


if __name__ == "__main__":
    main()
