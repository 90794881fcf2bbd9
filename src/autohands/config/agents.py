"""The user's agents: `agents/NAME.md` in the state directory, and the tables `[agents.NAME]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autohands.config.check import Builder
from autohands.config.lines import dotted
from autohands.config.schema import AgentEntry, Count, Name
from autohands.protocols.agent import Agent
from autohands.protocols.errors import ConfigError

_MOST_BYTES = 256 << 10
_DEEPEST = 8
_FRONT_MATTER = r"(?sm)---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)(.*)"


class AgentLimits(Struct, frozen=True):
    """The table `limits` of the front matter."""

    turns: Count | None = None


class FrontMatter(Struct, frozen=True):
    """What stands above an agent's prompt."""

    summary: str = ""
    model: str | None = None
    tools: tuple[str, ...] = ("*",)
    skills: tuple[str, ...] = ("*",)
    limits: AgentLimits = AgentLimits()


def load_agents(directory: Path, entries: Mapping[str, AgentEntry]) -> tuple[list[Agent], list[str]]:
    """The agents of a directory and of the configuration, by name.

    Returns: the agents, and one line on each that is wrong; a wrong one does not keep the others away.
    """
    agents = {name: _from_entry(name, entry) for name, entry in entries.items()}
    problems: list[str] = []
    for path in sorted(directory.glob("*.md")) if directory.is_dir() else []:
        try:
            if path.stem in agents:
                raise ConfigError(f"{path}: there is [agents.{path.stem}] in the configuration already")
            agents[path.stem] = read_agent(path)
        except ConfigError as error:
            problems += error.text.splitlines()
    return [agents[name] for name in sorted(agents)], problems


def read_agent(path: Path) -> Agent:
    """Read one agent: front matter (`model tools skills limits summary`) in YAML, below it the prompt.

    Raises:
        ConfigError: Everything that is wrong, one problem a line, with the file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{path}: larger than {_MOST_BYTES >> 10} KiB")
    found = re.match(_FRONT_MATTER, text)
    builder = Builder()
    front = builder.build(FrontMatter, _yaml(path, found[1]) if found else {}, ())
    builder.build(Name, path.stem, ("file name",))
    if builder.problems:
        raise ConfigError("\n".join(f"{path}: {dotted(each.path)}: {each.text}" for each in builder.problems))
    prompt = (found[2] if found else text).strip()
    if not prompt:
        raise ConfigError(f"{path}: there is no prompt below the front matter")
    return _agent(path.stem, prompt, front)


def _yaml(path: Path, text: str) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
                raise ConfigError(
                    f"{path}: front matter: no aliases (*name), and nothing deeper than {_DEEPEST} levels"
                )
        return yaml.load(text, Loader=loader) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: front matter: {' '.join(str(error).split())}") from None


def _agent(name: str, prompt: str, front: FrontMatter) -> Agent:
    return Agent(
        name=name,
        prompt=prompt,
        summary=front.summary,
        model=front.model,
        tools=front.tools,
        skills=front.skills,
        max_turns=front.limits.turns,
    )


def _from_entry(name: str, entry: AgentEntry) -> Agent:
    return Agent(name=name, **msgspec.structs.asdict(entry))
