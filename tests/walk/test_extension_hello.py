"""The extension of `examples/`: built as a distribution of its own, installed, found, its tool called by a model."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from architecture.source import ROOT
from walk.distributions import autohands, build, install

EXAMPLE = ROOT / "examples" / "extension_hello"
MODULE = "autohands_hello/__init__.py"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the built example in it, from a copy: the example's own folder stays as it is."""
    place = tmp_path_factory.mktemp("hello")
    shutil.copytree(EXAMPLE, place / "project", ignore=shutil.ignore_patterns("__pycache__", "dist"))
    (place / "wheels").mkdir()
    install(place / "site", build(place / "project", place / "wheels"))
    return place / "site"


class Model:
    """Speaks Chat Completions: asks for `hello` once, then repeats what the tool said."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        last = body["messages"][-1]
        if last["role"] == "tool":
            delta: dict[str, Any] = {"content": f"It says: {last['content']}"}
            reason = "stop"
        else:
            function = {"name": "hello", "arguments": '{"name": "Ada"}'}
            delta = {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}
            reason = "tool_calls"
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for choice in ({"delta": delta, "finish_reason": None}, {"delta": {}, "finish_reason": reason}):
            event = {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, **choice}]}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def served(model: Model) -> AsyncIterator[str]:
    """The base URL of `model` on loopback."""
    application = web.Application()
    application.router.add_post("/v1/chat/completions", model.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@pytest.mark.slow
async def test_a_separate_distribution_is_found_by_its_entry_point(home: Path, workspace: Path, site: Path) -> None:
    status, out, errors = await autohands(site, workspace, "extension", "list", "--json")
    assert status == 0, errors
    found = {item["name"]: item for item in json.loads(out)["items"]}
    assert found["hello"]["version"] == "1.0.0"
    assert "autohands_hello:extension" in found["hello"]["origin"]


@pytest.mark.slow
async def test_without_the_distribution_there_is_no_hello(home: Path, workspace: Path, tmp_path: Path) -> None:
    status, out, errors = await autohands(tmp_path, workspace, "extension", "list", "--json")
    assert status == 0, errors
    assert "hello" not in {item["name"] for item in json.loads(out)["items"]}


@pytest.mark.slow
async def test_a_model_calls_its_tool(home: Path, workspace: Path, site: Path) -> None:
    model = Model()
    async with served(model) as url:
        status, out, errors = await autohands(
            *(site, workspace, "run", "Greet Ada.", "--model", "openai/fake", "--json"),
            OPENAI_BASE_URL=url,
            OPENAI_API_KEY="sk-test",
        )
    assert status == 0, out + errors
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["call"]["name"] for event in events if event["type"] == "tool.started"] == ["hello"]
    assert events[-1]["type"] == "run.finished"
    assert (events[-1]["reason"], events[-1]["text"]) == ("done", "It says: Hello, Ada!")
    offered = {tool["function"]["name"]: tool["function"] for tool in model.requests[0]["tools"]}
    assert offered["hello"]["description"] == "Greet somebody by name."


def test_the_readme_shows_the_very_module() -> None:
    assert (EXAMPLE / MODULE).read_text().split("\n\n", 1)[1].strip() in (ROOT / "README.md").read_text()
