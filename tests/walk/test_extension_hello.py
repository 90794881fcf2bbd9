"""The extension of `examples/`: built as a distribution of its own, installed, found, its tool called by a model."""

import json
import shutil
from pathlib import Path

import pytest

from architecture.source import ROOT
from autohands.testing.script import call, say
from autohands.testing.vendors import FakeVendors
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
    async with FakeVendors([call("hello", name="Ada"), say("She is greeted.")]) as vendors:
        status, out, errors = await autohands(
            *(site, workspace, "run", "Greet Ada.", "--model", "openai/fake-small", "--json"),
            OPENAI_BASE_URL=vendors.openai_url,
            OPENAI_API_KEY="sk-test",
        )
    assert status == 0, out + errors
    assert vendors.problems == []
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["call"]["name"] for event in events if event["type"] == "tool.started"] == ["hello"]
    assert (events[-1]["type"], events[-1]["reason"], events[-1]["text"]) == ("run.finished", "done", "She is greeted.")
    first, second = (seen.body for seen in vendors.requests)
    offered = {tool["function"]["name"]: tool["function"]["description"] for tool in first["tools"]}
    assert offered["hello"] == "Greet somebody by name."
    assert second["messages"][-1]["content"] == "Hello, Ada!"


def test_the_readme_shows_the_very_module() -> None:
    assert (EXAMPLE / MODULE).read_text().split("\n\n", 1)[1].strip() in (ROOT / "README.md").read_text()
