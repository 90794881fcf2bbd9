"""Agents in Markdown: a wrong one is named, and keeps no other away."""

from pathlib import Path

import pytest

from autohands.config import load_agents
from autohands.config.agents import read_agent
from autohands.config.schema import AgentEntry
from autohands.protocols.agent import Agent
from autohands.protocols.errors import ConfigError

WHOLE = """\
---
summary: Reviews code.
model: openai/gpt-5
tools: [read_file, "grep*"]
skills: []
limits:
  turns: 7
---

You review code.

---
And you say why.
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "agents"
    path.mkdir()
    return path


def write(directory: Path, name: str, text: str | bytes) -> Path:
    path = directory / f"{name}.md"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_front_matter_and_prompt(directory: Path) -> None:
    assert read_agent(write(directory, "reviewer", WHOLE)) == Agent(
        name="reviewer",
        prompt="You review code.\n\n---\nAnd you say why.",
        summary="Reviews code.",
        model="openai/gpt-5",
        tools=("read_file", "grep*"),
        skills=(),
        max_turns=7,
    )


@pytest.mark.parametrize(
    "text", ["Just a prompt.", "---\n---\nJust a prompt.", "\ufeff---\r\n---\r\nJust a prompt.\r\n"]
)
def test_front_matter_may_be_missing_or_empty(directory: Path, text: str) -> None:
    assert read_agent(write(directory, "plain", text)) == Agent(name="plain", prompt="Just a prompt.")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\nmodl: x\n---\nP", "modl: unknown key; did you mean model?"),
        ("---\ntools: all\nlimits: {turns: 0}\n---\nP", "tools: expected a list, got text"),
        ("---\nlimits: {turns: 0}\n---\nP", "limits.turns: expected an integer >= 1"),
        ("---\n- a\n---\nP", "expected a table, got a list"),
        ("---\nmodel: a: b\n---\nP", "mapping values are not allowed"),
        ("---\nmodel: !!python/object:os.system x\n---\nP", "could not determine a constructor"),
        ("---\na: &a [1]\nb: [*a, *a]\n---\nP", "no aliases"),
        ("---\nmodel: " + "[" * 100_000 + "]" * 100_000 + "\n---\nP", "nothing deeper than 8 levels"),
        ("---\nmodel: 2024-01-01\n---\nP", "model: expected text or nothing"),
        ("---\nmodel: x\n---\n  \n", "there is no prompt"),
        (b"\xff\xfe", "cannot be read"),
        ("P" * 300_000, "larger than 256 KiB"),
    ],
)
def test_ex04_what_is_wrong_is_named_with_the_file(directory: Path, text: str | bytes, problem: str) -> None:
    path = write(directory, "bad", text)
    with pytest.raises(ConfigError) as caught:
        read_agent(path)
    assert problem in caught.value.text
    assert str(path) in caught.value.text


def test_a_wrong_one_keeps_no_other_away(directory: Path) -> None:
    write(directory, "good", "P")
    write(directory, "bad", "---\nmodl: x\ntols: y\n---\nP")
    write(directory, "Not A Name", "P")
    write(directory, "reviewer", "P")
    agents, problems = load_agents(directory, {"reviewer": AgentEntry(prompt="Q", max_turns=3)})
    assert agents == [Agent(name="good", prompt="P"), Agent(name="reviewer", prompt="Q", max_turns=3)]
    assert len(problems) == 4
    assert any("[agents.reviewer]" in problem for problem in problems)


def test_without_a_directory_there_are_those_of_the_configuration(tmp_path: Path) -> None:
    assert load_agents(tmp_path / "none", {}) == ([], [])
