"""What comes over the wire, through the whole program: no answer poisons a session, no wait is a silent one."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

import autohands
from autohands.protocols.events import RunFinished, ToolStarted
from autohands.testing.chaos import TURN_FAULTS, change_turn
from autohands.testing.script import ScriptedCall, Turn, calls, say
from autohands.testing.vendors import FakeVendors, Seen
from cli.command import ended, start, until

MODELS = ("openai/gpt-4.1", "openai/gpt-5.4", "anthropic/claude-sonnet-5-5")
UNREADABLE = {
    *("invalid-arguments", "truncated-arguments", "truncated-arguments-length", "list-arguments", "null-arguments"),
    *("double-encoded-arguments", "trailing-comma", "nan-argument", "surrogate-argument", "empty-arguments-length"),
    *("malformed-tool-name", "nameless-tool", "unknown-tool", "wrong-case-tool"),
}
SESSIONS = {"duplicate-id": "s2"}  # its id is that of another fault's call
TOO_LARGE = {"huge-arguments"}  # one protocol ends with an error at it, which is another story


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
async def test_pr08_pr09_pr12_whatever_a_model_said_its_session_goes_on(
    home: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    (workspace / "notes.txt").write_text("notes")
    config = {"model": model, "budget": {"run": "none", "day": "none"}}  # one answer claims to have cost a fortune
    poison: list[str] = []
    look = calls(ScriptedCall("read_file", {"path": "notes.txt"}), says="I look.")

    def script(seen: Seen) -> Turn:
        return change_turn(look, poison.pop()) if poison else say("On.")

    async with FakeVendors(script) as fake, asyncio.timeout(50):
        for name, value in {"OPENAI_BASE_URL": fake.openai_url, "ANTHROPIC_BASE_URL": fake.url}.items():
            monkeypatch.setenv(name, value)
            monkeypatch.setenv(name.replace("BASE_URL", "API_KEY"), "key")
        async with autohands.open(home, workspace, config) as hands:
            for fault in sorted(set(TURN_FAULTS) - TOO_LARGE):
                poison.append(fault)
                events = [event async for event in hands.run(fault, session=SESSIONS.get(fault, "s1"))]
                end = events[-1]
                assert isinstance(end, RunFinished)
                assert end.reason == ("failed" if fault == "refused" else "done"), (fault, end)
                started = [event for event in events if isinstance(event, ToolStarted)]
                assert fault not in UNREADABLE or started == [], fault
                assert fault != "duplicate-call" or len(started) == 1
                assert fake.problems == [], fault


@pytest.mark.slow
async def test_pr01_pr05_who_waits_is_told_for_what(
    home: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    process = await start("run", "x", "--model", "openai/gpt-4o", "--json", directory=workspace)
    told = await until(process, "retrying")
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert told["reason"].startswith("127.0.0.1:1: no connection")
    assert told["delay_seconds"] > 0
    assert (done.status, done.events[-1]["reason"]) == (130, "cancelled")
