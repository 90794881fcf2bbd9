"""What a model may ask of the real tools: bad paths, strange calls. Each is answered in words, and none does harm."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from autohands.protocols.events import RunFinished
from autohands.protocols.messages import ToolReturn
from autohands.protocols.task import Consent
from autohands.sdk import tool
from autohands.testing.script import ScriptedCall, Turn, calls
from autohands.testing.scripted import Scripted

from .conftest import Open

SECRET = "the secret of another"


def returned(model: Scripted) -> list[str]:
    """What the model read of its first calls."""
    return [part.text for part in model.requests[1].messages[-1].parts if isinstance(part, ToolReturn)]


async def answers(opened: Open, *asked: ScriptedCall, consent: Consent = "workspace") -> list[str]:
    """What the model reads of these calls."""
    async with opened(calls(*asked), "ok") as (hands, model):
        await hands.ask("Go", consent=consent)
        return returned(model)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the workspace whose name begins as the workspace's does."""
    directory = tmp_path / "workspace-secrets"
    directory.mkdir()
    (directory / "k").write_text(SECRET)
    return directory


@pytest.mark.parametrize("name", ["read_file", "list_directory", "grep", "write_file", "exec", "delete_file"])
async def test_fs01_fs02_fs03_no_tool_leads_out_of_the_workspace(
    opened: Open, workspace: Path, outside: Path, name: str
) -> None:
    (workspace / "plain").write_text("plain")
    (workspace / "link").symlink_to(outside)
    (workspace / "second").symlink_to("link")
    above = ["../workspace-secrets", str(outside), f"{workspace}/../workspace-secrets", f"{workspace}//..//x", "/etc"]
    proc = [f"/proc/self/root{outside}", "/proc/self/fd/0", "/dev/fd/0"]
    paths = [*above, *proc, "link", "second", "link/k", "second/k"]
    if name == "delete_file":
        paths = [path for path in paths if path not in ("link", "second")]  # a link itself may be deleted
    more = {"write_file": {"content": "mine"}, "grep": {"pattern": "secret"}, "exec": {"command": "cat k; ls"}}
    key = "cwd" if name == "exec" else "path"
    asked = [ScriptedCall(name, {key: path, **more.get(name, {})}) for path in paths]
    told = await answers(opened, *asked, ScriptedCall("read_file", {"path": "plain"}))
    assert told.pop() == "plain"
    words = {path: text.split(":")[0] for path, text in zip(paths, told, strict=True)}
    assert {words[path] for path in [*above, *proc]} == {"path_outside_workspace"}
    assert set(words.values()) <= {"path_outside_workspace", "symlink"}
    assert SECRET not in "".join(told)
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("k", SECRET)]


async def test_fs06_what_is_no_file_holds_nobody_up(
    opened: Open, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)  # the path of a socket is short
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    (workspace / "directory").mkdir()
    names = ("fifo", "socket", "directory")
    async with asyncio.timeout(20):
        told = await answers(
            opened,
            *(ScriptedCall("read_file", {"path": name}) for name in names),
            *(ScriptedCall("grep", {"pattern": "x", "path": name}) for name in names[:2]),
            ScriptedCall("grep", {"pattern": "x"}),
            ScriptedCall("edit_file", {"path": "fifo", "old_string": "a", "new_string": "b"}),
        )
    assert {text.split(":")[0] for text in told[:3]} == {"not_a_regular_file"}
    assert told[3].startswith(("not_a_directory", "not_a_regular_file"))
    assert told[5] == "[no line matches]"
    assert told[6].startswith("not_a_regular_file")


CONTROL = (
    *(".git/config", ".git/hooks/pre-commit", ".autohands/config.toml", ".mcp.json", ".vscode/tasks.json"),
    *(".idea/x.xml", ".bashrc", ".zshrc", ".profile", ".env", "sitecustomize.py", "lib/x.pth", "conftest.py"),
    *(".AutoHands/CONFIG.toml", ".GIT/hooks/x", "./conftest.py", "{ws}/.env"),
)


@pytest.mark.parametrize("exists", [False, True])
async def test_fs11_fs12_with_yes_a_protected_path_still_needs_a_person(
    opened: Open, workspace: Path, exists: bool
) -> None:
    paths = [path.format(ws=workspace) for path in CONTROL]
    if exists:
        for path in paths:
            (workspace / path).parent.mkdir(parents=True, exist_ok=True)
            (workspace / path).write_text("theirs")
    (workspace / "harmless").write_text("evil")
    before = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}
    told = await answers(
        opened,
        *(ScriptedCall("write_file", {"path": path, "content": "evil"}) for path in paths),
        *(ScriptedCall("move_file", {"source": "harmless", "destination": path}) for path in paths),
        *(ScriptedCall("create_directory", {"path": path}) for path in (".git", ".vscode/x")),
        *(ScriptedCall("delete_file", {"path": path}) for path in paths if exists),
    )
    assert {text.split(":")[0] for text in told} == {"denied"}
    assert {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()} == before


async def test_fs19_the_root_and_what_lies_above_it_is_never_deleted(opened: Open, workspace: Path) -> None:
    (workspace / "kept").touch()
    paths = [".", "", "/", "~", str(workspace), f"{workspace}/.", "..", "kept/.."]
    told = await answers(opened, *(ScriptedCall("delete_file", {"path": path, "recursive": True}) for path in paths))
    assert {text.split(",")[0] for text in told} == {"denied: the hard floor forbids it"}
    async with opened() as (hands, _):
        assert (await hands.call_tool("delete_file", {"path": ".", "recursive": True})).failed
    assert (workspace / "kept").exists()


@asynccontextmanager
async def awake(most_seconds: float) -> AsyncIterator[None]:
    """The event loop is never away for longer than `most_seconds` in the block."""
    away = [0.0]

    async def beat() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            away.append(time.monotonic() - before - 0.01)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
    assert max(away) < most_seconds


CATASTROPHES = [r"(a+)+$", r"(a|aa)+$", r"(a*)*b", r"(.*)*x", r"a{1,900}{1,900}", r"(?:a?){500}a{500}"]


@pytest.mark.slow
async def test_fs18_a_catastrophic_pattern_neither_runs_away_nor_holds_the_loop(opened: Open, workspace: Path) -> None:
    (workspace / "a.txt").write_text("a" * 1_000_000 + "!\n")
    async with opened() as (hands, _), awake(1.0):
        for pattern in CATASTROPHES:
            before = time.monotonic()
            await hands.call_tool("grep", {"pattern": pattern, "path": "a.txt", "output": "count"})
            assert time.monotonic() - before < 8, pattern


@pytest.mark.slow
async def test_fs16_fs18_a_search_ends_by_its_time(opened: Open, workspace: Path) -> None:
    with (workspace / "sparse").open("wb") as file:
        try:
            file.truncate(1 << 40)
        except OSError:
            pytest.skip("this file system has no files of this size")
    async with opened() as (hands, _), awake(1.0), asyncio.timeout(20):
        result = await hands.call_tool("grep", {"pattern": "needle", "path": "sparse"})
    assert "the search is incomplete" in result.text
    assert (result.data or {})["truncated"]


async def test_pr08_pr09_each_call_runs_once_if_it_can_and_not_at_all_if_it_cannot(opened: Open) -> None:
    ran: list[str] = []
    most = now = 0

    @tool(effect="read")
    async def look(path: str, depth: int = 1) -> str:
        """Look."""
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        ran.append(path)
        return path

    @tool(effect="read")
    async def sweep(path: str = ".") -> str:
        """Sweep all of it, if nothing else is said."""
        ran.append(path)
        return path

    unreadable = ['{"path": "x"', "[]", "null", '"{\\"path\\": \\"x\\"}"', '{"path": "x",}', '{"path": NaN}', ""]
    wrong: list[dict[str, Any]] = [{"path": None}, {"path": ["x"]}, {"path": "x", "depth": "deep"}, {}, {"PATH": "x"}]
    asked = [
        *(ScriptedCall("sweep", arguments) for arguments in unreadable),
        *(ScriptedCall("look", arguments) for arguments in wrong),
        *(ScriptedCall(name, {"path": "x"}) for name in ("Look", "lookk", "LOOK", "look ")),
        *(ScriptedCall("look", {"path": f"{number}"}) for number in range(200)),
    ]
    async with opened(calls(*asked), 'look({"path": "text"})', tools=(look, sweep)) as (hands, model):
        assert await hands.ask("Go") == 'look({"path": "text"})'
        told = returned(model)
    assert sorted(ran, key=int) == [f"{number}" for number in range(200)]
    assert told[-200:] == [f"{number}" for number in range(200)]
    assert 1 < most <= 32
    assert {text.split(":")[0] for text in told[: len(unreadable) + len(wrong)]} == {"invalid_arguments"}
    assert all(text.startswith("unknown_tool") and "look" in text for text in told[-204:-200])


async def test_pr09_a_tool_that_the_agent_does_not_have_does_not_run(opened: Open, workspace: Path) -> None:
    config = {"agents": {"reader": {"prompt": "Read.", "tools": ["read_*"]}}}
    asked = calls(ScriptedCall("write_file", {"path": "a", "content": "x"}))
    async with opened(asked, "ok", config=config) as (hands, model):
        await hands.ask("Go", agent="reader", consent="workspace")
        assert [schema.name for schema in model.requests[0].tools] == ["read_file", "read_result"]
        assert returned(model)[0].startswith("unknown_tool: there is no tool `write_file`; did you mean read_file")
    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize(
    ("turn", "error"),
    [(Turn(text="I cannot.", stop="refusal"), "refused"), (Turn(text=" ", thinking="Hm."), ""), (Turn(text="\n"), "")],
)
async def test_pr12_a_strange_answer_ends_a_run_in_words(opened: Open, turn: Turn, error: str) -> None:
    async with opened(*[turn] * 9) as (hands, model):
        *_, end = [event async for event in hands.run("Go")]
        assert isinstance(end, RunFinished)
        assert end.reason == "failed"
        assert error in end.error
        assert end.error
        assert len(model.requests) < 9
    async with opened("Here.") as (hands, _):
        assert await hands.ask("Go on") == "Here."
