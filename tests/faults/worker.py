"""One life of the program: a server on a state directory, with a cast of its own, and a client beside it."""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import sqlite3
from contextlib import closing
from typing import Any

import autohands
from autohands.config.schema import Config
from autohands.daemon.service import Service
from autohands.protocols.upkeep import Retention
from faults.cast import ALLOWED, Model, Recorder, make_tools
from faults.client import Client
from faults.errands import Errands
from faults.plan import Plan
from faults.sink import Sink
from faults.tell import tell

CONFIG: dict[str, Any] = {
    "model": "model/model",
    "limits": {"runs": 8, "drain_seconds": 5},
    "policy": {"rule": [{"tool": name, "then": "allow"} for name in ALLOWED]},
    "queues": {"default": {"concurrency": 8}},
    "subscriptions": {"news": {"topic": "news.*", "prompt": "do {payload} look "}},
}
HURRY_SECONDS = 0.05
PUT_OFF = "status = 'waiting' AND reason = 'backoff' AND run_at > 0"


async def live(plan: Plan) -> None:
    """Work until killed, or with `finish` until all is done."""
    faulthandler.enable()  # SIGABRT shows where it stands
    if plan.broken == "no-sync":
        _sync_nothing()
    sink = Sink(plan.sink)
    tell("start", plan.life)
    async with autohands.open(plan.home, plan.workspace, CONFIG, shared=True) as hands:
        registries = hands.kernel.registries
        registries.providers.add("cast", ("model", Model(sink, plan.sink)))
        registries.channels.add("cast", ("recorder", Recorder(sink, plan.sink)))
        tools = make_tools(sink, plan.sink, plan.broken)
        registries.tools.add("cast", *((each.schema.name, each) for each in tools))
        async with asyncio.TaskGroup() as group:
            hurrying = group.create_task(_hurry(plan))

            def ready(hands: autohands.Hands) -> None:
                tell("open", plan.life)
                group.create_task(_attend(hands, plan))

            await Service(hands, _obeyed).run(ready)
            hurrying.cancel()
    tell("all", plan.life)


def _obeyed(config: Config) -> None:
    """A configuration has come into force: nothing here follows it."""
    del config


async def _attend(hands: autohands.Hands, plan: Plan) -> None:
    """Be the client; when all is done, end the program."""
    async with asyncio.TaskGroup() as group:
        group.create_task(Client(hands, plan).run())
        if plan.errands:
            group.create_task(Errands(hands, plan).run())
    if plan.finish:
        await _rest(hands)
    if plan.chore == "back_up":
        await hands.storage.back_up(keep=3)
    elif plan.chore == "retain":
        await hands.storage.retain(Retention(journal_days=0))
        await hands.storage.retain(Retention(sessions_days=0, messages_days=0))
    if plan.finish:
        signal.raise_signal(signal.SIGTERM)
    else:
        tell("idle", plan.life)


async def _rest(hands: autohands.Hands) -> None:
    """Until what nobody follows has ended, too: children, occurrences, messages."""
    storage = hands.storage
    while (
        await storage.tasks(states=["delayed", "blocked", "ready", "running", "waiting", "paused"])
        or await storage.outbox.all(states=("pending", "sending"))
        or await storage.schedules.next_due() is not None
    ):
        await asyncio.sleep(0.01)


async def _hurry(plan: Plan) -> None:
    """Have what was put off after a crash go on at once: a trial has no seconds to wait."""
    while True:
        await asyncio.sleep(HURRY_SECONDS)
        with closing(sqlite3.connect(plan.database, isolation_level=None)) as connection:
            if connection.execute(f"SELECT 1 FROM task WHERE {PUT_OFF}").fetchone():
                connection.execute(f"UPDATE task SET run_at = 0 WHERE {PUT_OFF}")


def _sync_nothing() -> None:
    """Have SQLite commit without a sync to disk, as a program would that forgot to ask for it."""

    class Careless(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            return super().execute(sql.replace("synchronous = FULL", "synchronous = NORMAL"), *arguments)

    connect = sqlite3.connect

    def careless(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(*arguments, **options, factory=Careless)

    vars(sqlite3)["connect"] = careless


def main(plan: Plan) -> None:
    """Live once."""
    asyncio.run(live(plan))
