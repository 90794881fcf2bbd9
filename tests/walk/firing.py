"""A program that fires schedules and does what they ask for, to be killed: `python firing.py DATABASE SINK TIMES`.

Each task writes its key into the sink; the program ends when so many of them are done.
"""

import asyncio
import sys
from pathlib import Path

from autohands import storage
from autohands.protocols.changes import Finish
from autohands.protocols.storage import Lease
from autohands.runloop.schedules import Schedules


async def main(database: Path, sink: Path, times: int) -> None:
    async with storage.open(database) as store:

        async def handler(lease: Lease) -> None:
            with sink.open("a") as file:
                file.write(f"{lease.record.task.idempotency_key}\n")
            await lease.commit(Finish(state="done", reason="done"))

        with store.listen("ended") as bell:
            running = [
                asyncio.ensure_future(Schedules(store).run()),
                asyncio.ensure_future(store.engine.serve(handler, slots=4)),
            ]
            while len(await store.tasks(states=["done"], limit=times)) < times:
                await bell.wait()
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
