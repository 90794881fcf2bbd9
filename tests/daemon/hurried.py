"""`autohands serve --json` with a sentinel that looks often: `python hurried.py`."""

import asyncio
import json
import logging
import os
import sys

from autohands.config.schema import Config
from autohands.daemon.sentinel import Pace
from autohands.daemon.service import serve
from autohands.hands import Hands

PACE = Pace(look_seconds=0.2, stuck_seconds=1.0, settle_seconds=0.5)


def ready(hands: Hands) -> None:
    print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)


def obeyed(config: Config) -> None:
    logging.getLogger("autohands").setLevel(logging.INFO)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    asyncio.run(serve(ready, obeyed, config_file=None, workspace=None, pace=PACE))
